"""
Add nodes to a MetalK8s cluster, from one declaration in the pillar.

The nodes are declared under ``metalk8s_expand`` in the pillar of ``<master id>_master``. Every
function can be repeated: a second run changes nothing and reports so. All functions accept
``--out=json``. Quote globs for the shell. Exit codes: 0 success, 2 an error in the declaration or
an argument, 3 a host does not meet the requirements, 4 a host or the API cannot be reached, 5 a
conflict, 6 the quorum of etcd, 7 a deadline, 8 a deployment, 9 another run holds the lock, 10
stopped on request, 1 any other error.
"""

import salt.version

from metalk8s_expand import supported

# A newer Python than that of an old master is necessary to import the library.
_REFUSAL = supported.refusal(salt.version.__saltstack_version__.major)
if _REFUSAL:

    def runner_boundary(context, options):
        """Return the function unchanged, since ``__virtual__`` prevents its use."""
        return lambda function: function

else:
    from metalk8s_expand.boundary import runner_boundary
    from metalk8s_expand.commands import arguments, node_object, queue, reports
    from metalk8s_expand.commands import expand as expand_command
    from metalk8s_expand.commands import health as health_command
    from metalk8s_expand.commands import host_keys as host_keys_command
    from metalk8s_expand.commands import plan as plan_command
    from metalk8s_expand.commands import preflight as preflight_command
    from metalk8s_expand.commands import remove_node as remove_node_command
    from metalk8s_expand.commands import status as status_command
    from metalk8s_expand.commands import stop as stop_command
    from metalk8s_expand.commands.arguments import ExpandOptions, ExpandRequest
    from metalk8s_expand.commands.context import CommandContext
    from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand"


def __virtual__():
    if _REFUSAL:
        return (False, _REFUSAL)
    reason = mixed_installation(__file__, __opts__.get("extension_modules", ""))
    return (False, reason) if reason else __virtualname__


def _context():
    return CommandContext.from_opts(__opts__)


@runner_boundary(lambda: __context__, lambda: __opts__)
def plan(nodes=None, preflight=False, profiles=None, max_parallel=None, redeploy=False, **kwargs):
    """
    Show what ``expand`` would do and why. Nothing is changed.

    Returns ``waves`` (which nodes, how many at once), ``control_plane`` and ``workers`` (each
    node's steps with their reasons, what was found on it, its differences, why it is refused),
    ``unchanged``, ``warnings``, the ``digest`` of the plan, and ``refusal``, the error that would
    prevent ``expand``, or None. The exit code is that of the refusal, else 0.

    nodes
        Names of declared nodes and globs, a list or comma separated. All declared nodes by default.
    profiles
        Only nodes of these profiles, a list or comma separated.
    preflight
        Also run the preflight checks on the hosts that would be changed. Their failure is then a
        refusal as well.
    max_parallel
        Maximum number of workers deployed at a time, 1 to 100, instead of the declared number.
    redeploy
        Deploy the named nodes again also if they are as declared. Needs ``nodes`` or ``profiles``.
    kwargs
        For one node that the pillar does not declare, its declaration: ``profile``, ``address``,
        ``ssh``, … ``profiles`` selects declared nodes.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.plan
        salt-run metalk8s_expand.plan 'worker-*,infra-1' max_parallel=3
        salt-run metalk8s_expand.plan profiles=worker
        salt-run metalk8s_expand.plan worker-9 profile=worker address=10.200.0.19
    """
    request = ExpandRequest.parse(nodes, profiles, kwargs, max_parallel)
    return plan_command.plan(_context(), request.with_redeploy(redeploy), preflight)


@runner_boundary(lambda: __context__, lambda: __opts__)
def manifest(node, **kwargs):
    """
    Return the manifest of a node as YAML, ready for ``kubectl apply --filename``.

    node
        Name of the node.
    kwargs
        For a node that the pillar does not declare, its declaration: ``profile``, ``address``,
        ``ssh``, …

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.manifest worker-1 > worker-1.yaml
        salt-run metalk8s_expand.manifest worker-9 profile=worker address=10.200.0.19 > node.yaml
    """
    return node_object.manifest(_context(), str(node), kwargs)


@runner_boundary(lambda: __context__, lambda: __opts__)
def register(node, dry_run=False, **kwargs):
    """
    Create the Node object of a node, cordoned, or patch the fields that differ. Return the changes.

    node
        Name of the node.
    dry_run
        Return the changes that would be made. Nothing is changed.
    kwargs
        For a node that the pillar does not declare, its declaration: ``profile``, ``address``,
        ``ssh``, …

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.register worker-1
    """
    return node_object.register(_context(), str(node), kwargs, dry_run)


@runner_boundary(lambda: __context__, lambda: __opts__)
def declare(nodes=None):
    """
    Print the declaration that describes the Nodes of the cluster as they are, for the pillar.
    Nothing is changed.

    Use it for Nodes that MetalK8s's UI or kubectl has registered: ``plan`` with this declaration
    has nothing to do for a healthy node, and ``expand`` deploys one that was never deployed.

    Returns YAML in a terminal, else ``declaration`` (the pillar), ``yaml``, ``undescribed`` (the
    reason of each Node that no declaration can describe, such as the bootstrap node) and
    ``left_out`` (labels and taints that no declaration can state, by node). Exit code 5 if a Node
    that ``nodes`` names cannot be described.

    nodes
        Names of Nodes and globs, a list or comma separated. All Nodes by default.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.declare > /srv/pillar/metalk8s_expand.sls
        salt-run metalk8s_expand.declare 'worker-*' --out=json
    """
    return node_object.declare(_context(), nodes)


@runner_boundary(lambda: __context__, lambda: __opts__)
def check_ssh(nodes=None, profiles=None):
    """
    Check in parallel that salt-ssh can work on the hosts of declared nodes. Exit code 4 if it
    cannot work on a host.

    Returns ``reached`` (seconds, Python and its path, by node), ``unreachable`` (the error by node,
    with its ``cause``), and ``warnings``.

    nodes
        Names of declared nodes and globs, a list or comma separated. All declared nodes by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.check_ssh worker-1
    """
    return preflight_command.check_ssh(_context(), nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def host_keys(nodes=None, profiles=None):
    """
    Show the SSH host keys of the hosts, as lines for the pillar. Nothing is changed.

    The keys are not verified: compare each fingerprint with the one on the host's own console
    before you declare it as ``ssh:host_key``.

    nodes
        Names of declared nodes and globs, a list or comma separated. All declared nodes by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    Returns ``verified`` (always False), ``hosts`` (by node: ``host``, ``port``, ``keys`` with
    ``type``, ``key`` and ``fingerprint``, and ``declared``: ``same``, ``other`` or None), and
    ``unreachable``. The exit code is 4 if a host shows no key.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.host_keys
        salt-run metalk8s_expand.host_keys 'worker-*' --out=json
    """
    return host_keys_command.host_keys(_context(), nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def preflight(nodes=None, profiles=None):
    """
    Check that the hosts of declared nodes meet the requirements. Report all problems of all hosts
    together.

    Returns ``hosts`` (passed, failed or unreachable, by node), ``findings`` (node, check, found,
    wanted, remedy, and the severity: error, warning, unknown) and ``unreachable``. Exit code 3 if a
    check failed, 4 if a host could not be reached. Warnings and unknown results do not fail.

    nodes
        Names of declared nodes and globs, a list or comma separated. All declared nodes by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.preflight
        salt-run metalk8s_expand.preflight 'worker-*'
    """
    return preflight_command.preflight(_context(), nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def add_node(
    node,
    probe=False,
    plan=None,
    wait_s=0,
    dry_run=False,
    redeploy=False,
    confirm=False,
    **kwargs,
):
    """
    Add one node, as ``expand`` does for several nodes.

    node
        Name of the node.
    probe
        Also run a Pod on the node, connect to it through a Service, and remove both.
    plan
        Digest of the plan to run, as for ``expand``.
    wait_s
        Seconds to wait while another run holds the lock.
    dry_run
        Show what would be done, as for ``expand``. Nothing is changed.
    redeploy
        Deploy the node again also if it is as declared.
    confirm
        Show the plan and ask on the terminal first, as for ``expand``.
    kwargs
        For a node that the pillar does not declare, its declaration: ``profile``, ``address``,
        ``ssh``, …

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.add_node worker-1
        salt-run metalk8s_expand.add_node worker-9 profile=worker address=10.200.0.19
    """
    return expand_command.expand_or_preview(
        _context(),
        arguments.one(node, kwargs).with_redeploy(redeploy),
        ExpandOptions.parse(False, probe, plan, wait_s, dry_run).with_confirm(confirm),
    )


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
    redeploy=False,
    confirm=False,
):
    """
    Add every declared node that is not in the cluster yet, or the selected ones, and verify each.

    nodes
        Names of declared nodes and globs, a list or comma separated. All declared nodes by default.
    profiles
        Only nodes of these profiles, a list or comma separated.
    skip_failed
        Exclude the hosts that cannot be reached or do not meet the requirements.
    probe
        Also run a Pod on each worker, connect to it through a Service, and remove both.
    plan
        Digest, or its first characters, of the plan to run, as ``plan`` returns it. The arguments
        of that ``plan`` need not be repeated. If the cluster or the declaration changed since, the
        run is refused with exit code 5.
    wait_s
        Seconds to wait while another run holds the lock. With 0, the run is refused with exit code
        9.
    max_parallel
        Maximum number of workers deployed at a time in this run, 1 to 100, instead of the declared
        number. Control-plane nodes are always deployed one at a time.
    dry_run
        Show what would be done. Nothing is changed, and no lock is needed. Returns the result of
        ``plan`` with ``preflight``, the result of the host checks, and ``refusal``, the error that
        would prevent the run, or None. The exit code is that of the refusal, else 0.
    redeploy
        Deploy the named nodes again also if they are as declared. Needs ``nodes`` or ``profiles``.
    confirm
        Show the plan on standard error and ask on the terminal, before the run waits for the lock.
        Only the answer ``yes`` starts the run, and it runs the shown plan or none: exit code 5 if
        the plan has changed meanwhile. Any other answer, Ctrl-C and the end of the input change
        nothing: exit code 10. Without a terminal and in an orchestration, exit code 2. There is no
        question if there is nothing to do, or with ``dry_run``.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.expand
        salt-run metalk8s_expand.expand confirm=True
        salt-run metalk8s_expand.expand nodes='infra-1,worker-*' dry_run=True
        salt-run metalk8s_expand.expand profiles=worker max_parallel=3
        salt-run metalk8s_expand.expand plan=2c26b46b68ff
        salt-run metalk8s_expand.expand worker-1 redeploy=True
    """
    return expand_command.expand_or_preview(
        _context(),
        ExpandRequest.parse(nodes, profiles, None, max_parallel).with_redeploy(redeploy),
        ExpandOptions.parse(skip_failed, probe, plan, wait_s, dry_run).with_confirm(confirm),
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
    volumes=False,
    confirm=False,
):
    """
    Remove one node: its Pods, its etcd member, all cluster files and processes on its host, its
    key, its Node.

    Returns the report, with the ``plan`` that was executed. All obstacles are reported before the
    first change.

    node
        Name of the node.
    force
        Confirms that the host is permanently powered off. The host is not contacted, its Pods are
        deleted with the Node, and the report lists the credentials that it still holds. Refused
        while the host shows any sign of life. The quorum of etcd is never put at risk.
    dry_run
        Show the steps with their reasons, and the refusals. Nothing is changed.
    delete_emptydir_data
        Also evict Pods with emptyDir volumes, whose data is lost.
    delete_bare_pods
        Also evict Pods without a controller that would start them on another node.
    delete_local_volumes
        Also evict Pods whose volumes are on disks of this node. The disks are not changed.
    drain_timeout_s
        Seconds to wait for the Pods to leave, as their disruption budgets let them.
    wait_s
        Seconds to wait while another run holds the lock. With 0, the run is refused with exit code
        9.
    volumes
        Also remove a node that has Volumes of MetalK8s's storage operator. The Volumes and their
        disks are not changed.
    confirm
        Show the plan on standard error and ask on the terminal first, as for ``expand``. The
        removal runs the shown plan or none: exit code 5 if the plan has changed meanwhile.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.remove_node worker-1 dry_run=True
        salt-run metalk8s_expand.remove_node worker-1 confirm=True
        salt-run metalk8s_expand.remove_node worker-1 delete_emptydir_data=True
        salt-run metalk8s_expand.remove_node cp-1 force=True
    """
    return remove_node_command.remove_or_preview(
        _context(),
        str(node),
        wait_s,
        dry_run,
        confirm,
        force=force,
        delete_emptydir_data=delete_emptydir_data,
        delete_bare_pods=delete_bare_pods,
        delete_local_volumes=delete_local_volumes,
        volumes=volumes,
        drain_timeout_s=drain_timeout_s,
    )


@runner_boundary(lambda: __context__, lambda: __opts__)
def request(node=None, retry=False):
    """
    Record that a declared node is to be added, so that ``work`` adds it. The reactor calls this
    function.

    Returns ``node`` and whether the call ``changed`` the queue: a node that is requested twice is
    stored once. Exit code 2 if the pillar does not declare the name; such a request is not stored.

    node
        Name of one declared node.
    retry
        Retry a request that has failed too often.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.request worker-1
        salt-run metalk8s_expand.request worker-1 retry=True
    """
    return queue.request(_context(), node, retry)


@runner_boundary(lambda: __context__, lambda: __opts__)
def work():
    """
    Add the nodes of the requests that ``request`` stored. The master's schedule calls this
    function. Only one expansion runs at a time: while another run holds the lock, nothing is done,
    and the exit code is 0.

    Returns ``report``, the report of the expansion if one ran, ``done``, the nodes that existed
    already, ``locked``, the holder of the lock if another run is active, and ``queue``, the
    remaining requests.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.work
    """
    return queue.work(_context())


@runner_boundary(lambda: __context__, lambda: __opts__)
def status(follow=False, certificates=True):
    """
    Return an overview of the cluster, each declared node with its state in the cluster, the
    certificate that expires first on each node, the registered Nodes that the pillar does not
    declare (``undeclared``), the active or interrupted run (``now``), the pending requests of
    events (``queue``), the IDs of the past runs (``runs``), the last ten with command, outcome,
    nodes and seconds (``history``), and which kubeconfig is used (``configuration``). Minions that
    are down delay the result by some ten seconds and are reported as unknown.

    ``overview`` has ``nodes`` (``total`` and ``ready``, also by role), ``etcd`` (members, leader,
    ``failures``, how many more members may fail, ``db_size`` in bytes, alarms), ``api_servers``
    (``answering`` and ``missing``), ``dns`` (``ready`` and ``wanted`` Pods, and their nodes),
    ``proxies_behind`` (nodes) and ``lock`` (run, command, user, host, times). A part that cannot be
    read has the cause as ``unknown``, else None, and does not fail the command.

    follow
        First stream the progress of the active run until it ends.
    certificates
        Also query the minions for their certificates.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.status
        salt-run metalk8s_expand.status follow=True
    """
    return status_command.status(_context(), follow, certificates)


@runner_boundary(lambda: __context__, lambda: __opts__)
def stop(wait_s=0):
    """
    Stop the active run after its current steps. The same command resumes it.

    Returns ``run``, ``holder`` and whether the run has ``ended``. The exit code is 0 also if no run
    is active.

    wait_s
        Seconds to wait for the run to end. Exit code 7 if it does not end in time.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.stop wait_s=600
    """
    return stop_command.stop(_context(), wait_s)


@runner_boundary(lambda: __context__, lambda: __opts__)
def health(nodes=None, profiles=None):
    """
    Check the cluster and its declared nodes: API, etcd, Nodes, static Pods, CoreDNS, certificates.

    Returns ``healthy``, the number of declared ``nodes``, ``warnings`` (certificates that expire
    soon), ``certificates``, the last three runs (``history``) and the ``overview``, each as
    ``status`` has it. Exit code 8 if a check finds a problem: ``error`` has all problems.

    nodes
        Names of declared nodes and globs, a list or comma separated. All declared nodes by default.
    profiles
        Only nodes of these profiles, a list or comma separated.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.health
    """
    return health_command.health(_context(), nodes, profiles)


@runner_boundary(lambda: __context__, lambda: __opts__)
def report(run=None, format="text", content=False):
    """
    Show the report of a run again, or return it as a page or as a trace.

    run
        ID of the run, as ``expand`` and ``status`` return it. The last run by default.
    format
        ``text`` shows the report. ``html`` returns the path of its page on the master, one file
        that needs no network. ``trace`` returns the steps in Chrome's trace format, which
        https://ui.perfetto.dev shows.
    content
        With ``format=html``, return the page itself instead of its path.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.report
        salt-run metalk8s_expand.report format=html
        salt-run metalk8s_expand.report format=html content=True > report.html
        salt-run metalk8s_expand.report 20261129090824 format=trace > trace.json
    """
    return reports.report(_context(), run, format, content)


@runner_boundary(lambda: __context__, lambda: __opts__)
def logs(node, lines=50):
    """
    Show the last lines of the logs of a node: its minion, kubelet, containerd and static Pods.
    Nothing is changed.

    The command asks the minion of the node. If the minion does not answer, the command reads the
    same logs over SSH. Private keys, tokens, passwords and the credentials of a kubeconfig are left
    out, and control characters are shown as escapes.

    Returns ``node``, ``lines``, ``over`` (``salt`` or ``ssh``), ``notes``, and ``parts``, each with
    ``part``, ``source`` (the file or the command), ``lines``, ``cut`` (whether the log has earlier
    lines) and ``problem`` (why there are no lines, or None). Exit code 2 for an unknown node, 4 if
    the host cannot be reached.

    node
        Name of a declared node, of a Node, or of a minion.
    lines
        Maximum number of lines of each log, 1 to 1000. At most 32 KiB of each log are read, within
        ten seconds.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.logs worker-1
        salt-run metalk8s_expand.logs worker-1 lines=200 --out=json
    """
    return reports.logs(_context(), node, lines)


@runner_boundary(lambda: __context__, lambda: __opts__)
def trees():
    """
    Return the path of the library, the trees that a pip installation provides for ``file_roots``,
    and the trees that the master serves already.

    ``packaged`` is for a master without MetalK8s. ``packaged_beside`` overrides no file of
    MetalK8s's own tree.

    CLI Example:

    .. code-block:: bash

        salt-run metalk8s_expand.trees
    """
    return reports.trees(_context())
