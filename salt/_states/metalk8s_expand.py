"""
States of the whole cluster, for orchestrations. They call the runner and return its result as a
state result.

Because they call the runner, they run on the master. With test=True they request a dry run, which
``salt.runner`` does not.
"""

from metalk8s_expand.domain.reports import state_result
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def expanded(name, dry_run=False, **kwargs):
    """
    Ensure that every declared node, or each selected one, is added and verified.

    The changes are the steps of each node that changed something; the comment is the report. The
    state fails with the reasons if the run fails or is refused.

    name
        Any text; it is shown.
    dry_run
        Show what would be done, as test=True does.
    kwargs
        The arguments of the runner's ``expand``: ``nodes``, ``profiles``, ``max_parallel``,
        ``skip_failed``, ``probe``, ``plan``, ``wait_s``.

    .. code-block:: yaml

        Add the workers of the first rack:
          metalk8s_expand.expanded:
            - nodes: worker-1*
            - max_parallel: 3
    """
    return _run(name, "expand", dry_run, kwargs)


def added(name, dry_run=False, **kwargs):
    """
    Ensure that one node is added and verified. The result has the form of ``expanded``.

    name
        Name of a node that the pillar declares.
    dry_run
        Show what would be done, as test=True does.
    kwargs
        ``probe``, ``plan`` and ``wait_s`` of the runner's ``add_node``; for a node that the pillar
        does not declare, its declaration: ``profile``, ``address``, ``ssh``, …

    .. code-block:: yaml

        Add worker-1:
          metalk8s_expand.added:
            - name: worker-1
    """
    return _run(name, "add_node", dry_run, {"node": name, **kwargs})


def _run(name, function, dry_run, kwargs):
    # The runner validates the arguments, with test=True as well.
    given = {key: value for key, value in kwargs.items() if not key.startswith("__")}
    asked = {**given, "dry_run": bool(__opts__.get("test")) or dry_run}
    answer = __salt__["saltutil.runner"](
        f"metalk8s_expand.{function}", kwarg=asked, full_return=True
    )
    return state_result.state_result(
        name, answer.get("return") if isinstance(answer, dict) else answer
    )
