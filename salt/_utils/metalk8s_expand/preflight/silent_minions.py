"""Check that every minion answers before MetalK8s's own deployment contacts them all.

MetalK8s updates the mine of all minions for each node that it deploys, so one minion that is down
makes it fail. This project's own deployment contacts the nodes that it works on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from metalk8s_expand.clients.salt import minion_contact
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion.plan import Plan
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import ExpandError, UnreachableError

# The most minions that one command of a remedy names.
SHOWN = 20


def silent_minions_error(
    world: ClusterContext, declared: Settings, plan: Plan
) -> UnreachableError | None:
    """Return the error that names every silent minion, if MetalK8s's own deployment is planned."""
    if not foreign_deployments(world, plan):
        return None
    silent = _silent(world, plan)
    if not silent:
        return None
    return UnreachableError(
        "MetalK8s's deployment of a node contacts every accepted minion, and some do not answer, so"
        " nothing was started",
        problems=[f"minion {name} does not answer test.ping" for name in silent],
        hint=_remedy(declared, silent),
    )


def notes(world: ClusterContext, declared: Settings, plan: Plan) -> list[str]:
    """Return a note that names the silent minions, which this project's deployment tolerates."""
    if not plan.deploying or foreign_deployments(world, plan):
        return []
    try:
        silent = _silent(world, plan)
    except ExpandError as error:
        return [f"whether all minions answer is unknown: {error.message}"]
    if not silent:
        return []
    return [
        f"these minions do not answer, which does not stop the run: {', '.join(silent)};"
        f" {_remedy(declared, silent)}"
    ]


def foreign_deployments(world: ClusterContext, plan: Plan) -> list[str]:
    """Return the nodes that the plan deploys with MetalK8s's own tree."""
    files = FileServer(world.opts)
    names = plan.deploying
    return [
        item.node.name
        for item in plan.nodes
        if item.node.name in names
        and saltenv.is_of_metalk8s(files.has, saltenv.of_version(item.node.version))
    ]


def _silent(world: ClusterContext, plan: Plan) -> list[str]:
    """Return the accepted minions that do not answer, except those of the plan's own nodes."""
    minions = world.minions()
    planned = {item.node.name for item in plan.nodes}
    others = sorted(minions.accepted() - planned)
    return minion_contact.silent_minions(minions, others)


def remedies(declared: Collection[str], unreached: Sequence[str]) -> list[str]:
    """Return the commands that make these minions answer."""
    ours = [name for name in unreached if name in declared][:SHOWN]
    others = [name for name in unreached if name not in declared][:SHOWN]
    commands = []
    if ours:
        commands.append(
            f"reconnect declared nodes: salt-run metalk8s_expand.expand {','.join(ours)}"
        )
    if others:
        commands.append(f"start salt-minion on the hosts of {', '.join(others)}")
    return commands


def _remedy(declared: Settings, silent: Sequence[str]) -> str:
    gone = "delete the key of a host that is gone: salt-key --delete NAME"
    return "; ".join([*remedies(declared.nodes, silent), gone])
