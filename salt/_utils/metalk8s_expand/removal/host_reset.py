"""Reset or inspect the host of a node with one self-contained script in one SSH call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.salt import pillar as master
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.clients.ssh.remote_script import no_answer, run_script
from metalk8s_expand.cluster import roster
from metalk8s_expand.cluster.context import ClusterContext, from_observed
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.removal.node_inventory import HostInventory
from metalk8s_expand.errors import (
    ConflictError,
    DeployError,
    ExpandError,
    SettingsError,
    UnreachableError,
    visible_tree,
)
from metalk8s_expand.preflight.ssh import check_ssh
from metalk8s_expand.remote import host_facts, reset_host

LOOK, WITHDRAW, RETIRE = "look", "withdraw", "retire"
# A kubelet may need time to end an API server, and a disk to delete an etcd.
SECONDS: Mapping[str, float] = {LOOK: 15.0, WITHDRAW: 90.0, RETIRE: 240.0}
# With these causes there was no answer at all. Any other cause shows that the host runs.
SILENT = ("no-route", "time-out", "name-does-not-resolve")


def target(world: ClusterContext, settings: Settings, node: Node) -> Target:
    """Return the SSH target of the host, from its roster entry."""
    return roster.ssh_targets([node], roster.access_from(world.opts, settings))[0]


def described(settings: Settings, name: str, observed: Mapping[str, Any] | None) -> Node | None:
    """Return the node from its declaration, else from its Node object.

    Returns None when neither describes how to reach it.
    """
    if name in settings.nodes:
        return settings.nodes[name]
    try:
        return None if observed is None else from_observed(dict(observed))
    except SettingsError:
        return None


def look(world: ClusterContext, settings: Settings, node: Node | None) -> HostInventory:
    """Return the inventory of the host, or why it is unknown."""
    if node is None:
        return HostInventory(silence="neither the pillar nor a Node has its address, so declare it")
    try:
        return HostInventory(ask(world, settings, node, LOOK))
    except UnreachableError as error:
        return HostInventory(silence=error.message, answers=error.cause not in SILENT)


def ask(
    world: ClusterContext, settings: Settings, node: Node, mode: str, epoch: int | None = None
) -> dict[str, Any]:
    """Run the script once. Raises UnreachableError when there is no answer."""
    seconds = SECONDS[mode]
    key = master.master_key(world.opts)
    request = {
        "mode": mode,
        "node": node.name,
        "epoch": epoch,
        "master_key": key,
        "seconds": seconds,
    }
    source = Path(reset_host.__file__).read_text(encoding="utf-8")
    timeout = settings.ssh_timeout + seconds + 30
    host = target(world, settings, node)
    answer = run_script(host, source, json.dumps(request), timeout)
    marked = host_facts.answer(answer.stdout, reset_host.MARK)  # type: ignore[no-untyped-call]
    result: dict[str, Any] | None = marked
    if result is None:
        # The cause and the remedy are those of every other command that uses SSH.
        checked = check_ssh([host], settings.ssh_timeout)[host.name]
        if isinstance(checked, ExpandError):
            raise checked
        hint = (
            "find out why with: salt-run metalk8s_expand.check_ssh; then run the same command again"
        )
        what = f"the host gave no answer to {mode}, its command"
        raise no_answer(node.name, what, answer, hint)
    # A key has several lines; the rest is shown to the operator.
    return {
        key: value if key == "master_key" else visible_tree(value) for key, value in result.items()
    }


def change(
    world: ClusterContext, settings: Settings, node: Node, mode: str, epoch: int | None
) -> tuple[list[str], list[str]]:
    """Return what was changed, and what was left on purpose.

    Raises when the host refuses, or could not do all of it.
    """
    try:
        result = ask(world, settings, node, mode, epoch)
    except ExpandError as error:
        error.hint = f"make the host reachable and run the same command again; {error.hint}"
        raise
    if result["refused"]:
        raise ConflictError(
            f"the host refuses to {mode}: {result['refused']}",
            node=node.name,
            hint="check that host; nothing was changed there",
        )
    if result["failed"]:
        raise DeployError(
            f"the host could not {mode} everything",
            node=node.name,
            problems=result["failed"],
            hint="fix it on the host and run the same command again, which skips what is done",
        )
    return list(result["changes"]), list(result["left"])
