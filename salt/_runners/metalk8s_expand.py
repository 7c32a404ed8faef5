"""
Add nodes to a MetalK8s cluster, from one declaration in the pillar.

The nodes are declared under ``metalk8s_expand`` in the pillar of ``<master id>_master``. Every function can be repeated:
a second run changes nothing and says so. All take ``--out=json``. A glob needs quotes, for the shell. Exit codes: 0 all is
well, 2 the declaration or an argument, 3 a host does not meet the requirements, 4 a host or the API cannot be reached,
5 a conflict, 6 etcd's quorum, 7 a deadline, 8 a deployment, 9 another run holds the lock, 10 stopped on request, 1 anything
else.
"""

from metalk8s_expand.boundary import runner_boundary
from metalk8s_expand.commands import runner
from metalk8s_expand.expansion.workflow import ExpandOptions
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand"


def __virtual__():
    reason = mixed_installation(__file__, __opts__.get("extension_modules", ""))
    return (False, reason) if reason else __virtualname__


def _commands():
    return runner.Commands(__opts__)


@runner_boundary(lambda: __context__, lambda: __opts__)
def plan(nodes=None, preflight=False, profiles=None, max_parallel=None, **kwargs):
    """
    Show what ``expand`` would do and why. Nothing is changed.

    Returned are ``waves`` (which nodes, how many at once), ``control_plane`` and ``workers`` (each node's steps with their
    reasons, its differences, why it is refused), ``unchanged``, ``warnings``, and the ``digest`` of all that.

    nodes
        Names of declared nodes and globs, a list or comma separated. All that are declared by default.
    profiles
        Only nodes of these profiles, a list or comma separated.
    preflight
        Also make the preflight checks on the hosts that would be changed; its exit codes are then those of ``preflight``.
    max_parallel
        Workers deployed at a time, 1 to 100, instead of the declared number.
    kwargs
        For one node that the pillar does not declare, its declaration: ``profile``, ``address``, ``ssh``, … Declared nodes
        are chosen by ``profiles``.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.plan
        salt-run metalk8s_expand.plan 'worker-*,infra-1' max_parallel=3
        salt-run metalk8s_expand.plan profiles=worker
        salt-run metalk8s_expand.plan worker-9 profile=worker address=10.200.0.19
    """
    return _commands().plan(nodes, kwargs, preflight, profiles, max_parallel)


@runner_boundary(lambda: __context__, lambda: __opts__)
def manifest(node, **kwargs):
    """
    Return the manifest of a node as YAML, ready for ``kubectl apply --filename``.

    node
        Name of the node.
    kwargs
        For a node that the pillar does not declare, its declaration: ``profile``, ``address``, ``ssh``, …

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.manifest worker-1 > worker-1.yaml
        salt-run metalk8s_expand.manifest worker-9 profile=worker address=10.200.0.19 > worker-9.yaml
    """
    return _commands().manifest(str(node), kwargs)


@runner_boundary(lambda: __context__, lambda: __opts__)
def register(node, dry_run=False, **kwargs):
    """
    Create the Node object of a node, cordoned, or patch what differs. Return the changes.

    node
        Name of the node.
    dry_run
        Return the changes that would be made. Nothing is changed.
    kwargs
        For a node that the pillar does not declare, its declaration: ``profile``, ``address``, ``ssh``, …

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.register worker-1
    """
    return _commands().register(str(node), kwargs, dry_run)


@runner_boundary(lambda: __context__, lambda: __opts__)
def check_ssh(nodes=None, profiles=None):
    """
    Check that salt-ssh could work on the hosts of declared nodes, all at once. Exit code 4 when it could not on one.

    Returned are ``reached`` (seconds, Python and where it is, by node), ``unreachable`` (the error by node, with its
    ``cause``), and ``warnings``.

    nodes
        Names of declared nodes and globs, a list or comma separated. All that are declared by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.check_ssh worker-1
    """
    return _commands().check_ssh(nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def preflight(nodes=None, profiles=None):
    """
    Check that the hosts of declared nodes meet the requirements; all problems of all hosts at once.

    Returned are ``hosts`` (passed, failed or unreachable, by node), ``findings`` (node, check, found, wanted, remedy, and
    the severity: error, warning, unknown) and ``unreachable``. Exit code 3 when a check failed, 4 when a host could not be
    asked; warnings and what is unknown do not fail.

    nodes
        Names of declared nodes and globs, a list or comma separated. All that are declared by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.preflight
        salt-run metalk8s_expand.preflight 'worker-*'
    """
    return _commands().preflight(nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def add_node(node, probe=False, plan=None, wait_s=0, dry_run=False, **kwargs):
    """
    Add one node: ``expand`` of one.

    node
        Name of the node.
    probe
        Also run a Pod on the node and reach it through a Service; it is removed again.
    plan
        Digest of the plan that is to be run, as for ``expand``.
    wait_s
        Seconds to wait while another run holds the lock.
    dry_run
        Say what would be done, as for ``expand``. Nothing is changed.
    kwargs
        For a node that the pillar does not declare, its declaration: ``profile``, ``address``, ``ssh``, …

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.add_node worker-1
        salt-run metalk8s_expand.add_node worker-9 profile=worker address=10.200.0.19
    """
    return _commands().add_node(node, ExpandOptions(probe=probe), kwargs, plan, wait_s, dry_run)


@runner_boundary(lambda: __context__, lambda: __opts__)
def expand(
    nodes=None,
    skip_failed=False,
    probe=False,
    plan=None,
    wait_s=0,
    profiles=None,
    max_parallel=None,
    dry_run=False,
):
    """
    Add every declared node that is not there yet, or those of them that are chosen, and verify each.

    nodes
        Names of declared nodes and globs, a list or comma separated. All that are declared by default.
    profiles
        Only nodes of these profiles, a list or comma separated.
    skip_failed
        Go on without the hosts that cannot be reached or do not meet the requirements.
    probe
        Also run a Pod on each worker and reach it through a Service; they are removed again.
    plan
        Digest (or how it begins) of the plan that is to be run, as ``plan`` gives it; with it, what ``plan`` was asked for
        need not be given again. When the world has moved since, nothing is started: exit code 5.
    wait_s
        Seconds to wait while another run holds the lock; without it, the run is refused with exit code 9.
    max_parallel
        Workers deployed at a time in this run, 1 to 100, instead of the declared number. Control-plane nodes follow one
        another in any case.
    dry_run
        Say what would be done. Nothing is changed, and no lock is needed. Returned is what ``plan`` returns, with
        ``preflight``, the look at the hosts, and ``refusal``, the error for which nothing would be started, or None. The
        exit code is that of the refusal, else 0.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.expand
        salt-run metalk8s_expand.expand nodes='infra-1,worker-*' dry_run=True
        salt-run metalk8s_expand.expand profiles=worker max_parallel=3
        salt-run metalk8s_expand.expand plan=2c26b46b68ff
    """
    return _commands().expand(
        nodes, ExpandOptions(skip_failed, probe), plan, wait_s, profiles, max_parallel, dry_run
    )


@runner_boundary(lambda: __context__, lambda: __opts__)
def remove_node(
    node,
    force=False,
    dry_run=False,
    delete_emptydir_data=False,
    delete_bare_pods=False,
    delete_local_volumes=False,
    drain_timeout_s=600,
    wait_s=0,
):
    """
    Remove one node: its Pods, its etcd member, everything of the cluster on its host, its key, its Node.

    Returned is the report, with the ``plan`` that was executed. All obstacles are told before the first change.

    node
        Name of the node.
    force
        Your word that the host is off for good: it is not asked, its Pods go with the Node, and the report says which
        credentials it still holds. Refused while the host shows any life; etcd's quorum is never put at risk.
    dry_run
        Show the steps with their reasons, and what would be refused. Nothing is changed.
    delete_emptydir_data
        Also evict Pods with emptyDir volumes, whose data gets lost.
    delete_bare_pods
        Also evict Pods that nobody would start again elsewhere.
    delete_local_volumes
        Also evict Pods whose volumes are on disks of this node. The disks stay as they are.
    drain_timeout_s
        Seconds to wait for the Pods to leave, as their disruption budgets let them.
    wait_s
        Seconds to wait while another run holds the lock; without it, the run is refused with exit code 9.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.remove_node worker-1 dry_run=True
        salt-run metalk8s_expand.remove_node worker-1 delete_emptydir_data=True
        salt-run metalk8s_expand.remove_node cp-1 force=True
    """
    return _commands().remove_node(
        str(node),
        wait_s,
        dry_run,
        force=force,
        delete_emptydir_data=delete_emptydir_data,
        delete_bare_pods=delete_bare_pods,
        delete_local_volumes=delete_local_volumes,
        drain_timeout_s=drain_timeout_s,
    )


@runner_boundary(lambda: __context__, lambda: __opts__)
def request(node=None, retry=False):
    """
    Write down that a declared node is to be added, for ``work`` to do it. What the reaction to an event calls.

    Returned are ``node`` and whether that ``changed`` anything: a node that is asked for already is asked for once. Exit
    code 2 for a name that the pillar does not declare; nothing is kept of it.

    node
        Name of one declared node.
    retry
        Try one again that has failed too often.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.request worker-1
        salt-run metalk8s_expand.request worker-1 retry=True
    """
    return _commands().request(node, retry)


@runner_boundary(lambda: __context__, lambda: __opts__)
def work():
    """
    Add the nodes that were asked for by ``request``; what the master's schedule calls. One expansion at a time: while
    another run holds the lock, nothing is done, and the exit code is 0.

    Returned are ``report``, that of the expansion if there was one, ``done``, the nodes that were there already, ``locked``,
    who keeps us from it, and ``queue``, the requests that are left.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.work
    """
    return _commands().work()


@runner_boundary(lambda: __context__, lambda: __opts__)
def status(follow=False, certificates=True):
    """
    Return each declared node with what the cluster says of it, the certificate that ends first on each node, the run that
    goes on or was cut off (``now``), the requests of events that wait (``queue``), and the runs so far. Minions that are
    down are waited for, for some ten seconds, to be told as unknown.

    follow
        First tell what the run that goes on tells, until it has ended.
    certificates
        Whether minions are asked for their certificates.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.status
        salt-run metalk8s_expand.status follow=True
    """
    return _commands().status(follow, certificates)


@runner_boundary(lambda: __context__, lambda: __opts__)
def stop(wait_s=0):
    """
    Ask the run that goes on to stop after its current steps; ``expand`` goes on from there another time.

    Returned are ``run``, ``holder`` and whether it has ``ended``; all is well too when no run is going on.

    wait_s
        Seconds to wait for its end; exit code 7 when it does not come in time.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.stop wait_s=600
    """
    return _commands().stop(wait_s)


@runner_boundary(lambda: __context__, lambda: __opts__)
def health(nodes=None, profiles=None):
    """
    Check the cluster and its declared nodes: API, etcd, Nodes, static Pods, CoreDNS, certificates. Exit code 8 when something
    is not well. ``warnings`` are certificates that end soon.

    nodes
        Names of declared nodes and globs, a list or comma separated. All that are declared by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.health
    """
    return _commands().health(nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def report(run=None):
    """
    Show the report of a run again.

    run
        ID of the run, as ``expand`` and ``status`` give it. The last one by default.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.report
    """
    return _commands().report(run)


@runner_boundary(lambda: __context__, lambda: __opts__)
def trees():
    """
    Return where the library is, which trees a pip installation brings for ``file_roots``, and which are served already.

    ``packaged`` is for a master that stands alone; ``packaged_beside`` shadows nothing of MetalK8s's own tree.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.trees
    """
    return _commands().trees()
