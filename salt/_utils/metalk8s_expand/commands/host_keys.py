"""Implement ``host_keys``: show the SSH host keys of the declared hosts for the pillar."""

from __future__ import annotations

from typing import Any

from metalk8s_expand.clients.ssh import host_keys as ssh_host_keys
from metalk8s_expand.clients.ssh.process_pool import on_all
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import CommandContext, Result
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports.host_keys import render_host_keys
from metalk8s_expand.errors import UnreachableError


def host_keys(ctx: CommandContext, nodes: Names = None, profiles: Names = None) -> Result:
    """Return the keys that each host shows now, and whether its declared key is one of them."""
    settings, names = ExpandRequest.parse(nodes, profiles).resolve(ctx.declaration())

    def ask(node: Node) -> Result:
        return _shown(node, settings.ssh_timeout)

    hosts: dict[str, Any] = {}
    unreachable: dict[str, Any] = {}
    answers = on_all(settings.chosen(names), ask, settings.ssh_parallel)
    for name, answer in answers.items():
        if isinstance(answer, UnreachableError):
            unreachable[name] = answer.as_dict()
        else:
            hosts[name] = answer
    data = {
        "verified": False,
        "hosts": hosts,
        "unreachable": unreachable,
        "retcode": UnreachableError.retcode if unreachable else 0,
    }
    return ctx.render(render_host_keys, data)


def _shown(node: Node, timeout: float) -> Result:
    host = node.ssh.host.strip("[]")
    keys = ssh_host_keys.shown_keys(host, node.ssh.port, timeout)
    if not keys:
        raise UnreachableError(
            f"no SSH server shows a host key at {host} port {node.ssh.port}",
            node=node.name,
            hint=f"check the address and the port: salt-run metalk8s_expand.check_ssh {node.name}",
        )
    lines = [key.line for key in keys]
    declared = None
    if node.ssh.host_key:
        declared = "same" if node.ssh.host_key in lines else "other"
    rows = []
    for key in keys:
        rows.append({"type": key.kind, "key": key.line, "fingerprint": key.fingerprint})
    return {"host": host, "port": node.ssh.port, "declared": declared, "keys": rows}
