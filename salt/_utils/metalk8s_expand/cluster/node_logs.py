"""Fetch the last lines of the logs of a node: over Salt, or over SSH if its minion is silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.clients.ssh.remote_script import no_answer, run_script
from metalk8s_expand.domain.node.node_logs import SALT, SSH, readable_parts
from metalk8s_expand.errors import ExpandError, UnreachableError, visible
from metalk8s_expand.remote import host_facts, read_logs

FUNCTION = "metalk8s_expand_host.logs"
# Seconds that the host has, and that the SSH connection may take beside them.
HOST_S = 10.0
DEFAULT_LINES, MOST_LINES = 50, 1000

Parts = list[dict[str, Any]]


def fetch_node_logs(
    node: str,
    lines: int,
    minions: Minions,
    target: Callable[[], Target],
    ssh_timeout: float,
) -> dict[str, Any]:
    """Return the parts of the logs of a node, and over which connection they came.

    ``target`` returns the SSH target of the host, and is called only if the minion does not answer.
    ``ssh_timeout`` is in seconds. Raises UnreachableError with both reasons if no connection works.
    """
    parts, silence = _over_salt(node, lines, minions)
    if parts is not None:
        return {"over": SALT, "parts": parts, "notes": []}
    try:
        parts = _over_ssh(node, lines, target(), ssh_timeout)
    except ExpandError as error:
        raise UnreachableError(
            "its logs can be read neither over Salt nor over SSH",
            node=node,
            problems=[f"Salt: {silence}", f"SSH: {error.summary}"],
            hint=error.hint or f"salt-run metalk8s_expand.check_ssh {node}",
            log=error.log,
            cause=error.cause,
        ) from error
    return {"over": SSH, "parts": parts, "notes": [f"not over Salt: {silence}"]}


def _over_salt(node: str, lines: int, minions: Minions) -> tuple[Parts | None, str]:
    """Return the answer of the minion, or None and why there is none."""
    try:
        answers = minions.ask([node], FUNCTION, [lines, node])
    except UnreachableError as error:
        return None, error.message
    if node not in answers:
        return None, "the minion has no accepted key, or does not answer"
    parts = readable_parts(answers[node], lines)
    if parts is None:
        return None, f"the minion answers: {visible(answers[node])[:200]}"
    return parts, ""


def _over_ssh(node: str, lines: int, target: Target, timeout: float) -> Parts:
    source = Path(read_logs.__file__).read_text(encoding="utf-8")
    request = json.dumps({"lines": lines, "node": node, "seconds": HOST_S})
    answer = run_script(target, source, request, timeout + HOST_S + 5)
    document = host_facts.answer(answer.stdout, read_logs.MARK)  # type: ignore[no-untyped-call]
    parts = readable_parts((document or {}).get("parts"), lines)
    if parts is None:
        raise no_answer(node, "the script", answer)
    return parts
