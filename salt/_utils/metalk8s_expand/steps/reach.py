"""Before the first change: every host of the expansion answers over SSH and meets the requirements, or all problems at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalk8s_expand import probe
from metalk8s_expand.clients import ssh
from metalk8s_expand.clients.clock import Clock
from metalk8s_expand.clients.ssh import Target
from metalk8s_expand.domain import preflight
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.preflight import Finding
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import ExpandError, PreflightError, UnreachableError

# A host that accepts the connection, authenticates and then stays silent must not hold up the others for longer.
PROBE_FACTOR = 3


@dataclass(frozen=True)
class Reached:
    """What the hosts said by node name, why the others could not be asked, and what is wrong with those that could."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreachable: dict[str, ExpandError] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """The nodes that nothing must be done to."""
        return tuple(dict.fromkeys([*self.unreachable, *(item.node for item in preflight.errors(self.findings))]))

    @property
    def reasons(self) -> dict[str, str]:
        """Why nothing must be done, by node."""
        found = {name: error.message for name, error in self.unreachable.items()}
        for item in preflight.errors(self.findings):
            found.setdefault(item.node, f"{item.check}: found {item.found}, wanted {item.wanted}")
        return found

    def error(self) -> ExpandError | None:
        """All problems in one error; unreachable hosts decide its class."""
        broken = preflight.errors(self.findings)
        if self.unreachable:
            problems = [str(error) for error in self.unreachable.values()] + [str(item) for item in broken]
            names = ", ".join(self.unreachable)
            return UnreachableError(f"not every host can be reached: {names}", hint=_HINT, problems=problems)
        if broken:
            names = ", ".join(dict.fromkeys(item.node for item in broken))
            return PreflightError(
                f"not every host meets the requirements: {names}", hint=_HINT, problems=[str(item) for item in broken]
            )
        return None


_HINT = "mend these hosts, or go on without them with skip_failed=True; nothing was changed"


def targets(nodes: Sequence[Node], known_hosts: str) -> list[Target]:
    """The SSH targets of declared nodes, by the roster's own entries."""
    from metalk8s_expand.steps import roster

    return [Target.from_roster(node.name, roster.entry(node.ssh, known_hosts)) for node in nodes]


def check_ssh(hosts: Sequence[Target], timeout: float, max_parallel: int = 32) -> dict[str, ExpandError | float]:
    """Seconds that a trivial command took on each host, or why it cannot be run there."""

    def attempt(target: Target) -> float:
        answer = ssh.run(target, ["true"], timeout=timeout)
        if answer.returncode:
            raise _failed(target, answer)
        return answer.elapsed

    return dict(ssh.on_all(hosts, attempt, max_parallel))


def look(
    nodes: Sequence[Node], hosts: Sequence[Target], settings: Settings, clock: Clock | None = None, max_parallel: int = 32
) -> Reached:
    """Ask every host once, with one self-contained probe over one SSH call, and judge all answers together."""
    clock = clock or Clock()
    source = Path(probe.__file__).read_text(encoding="utf-8")

    def attempt(target: Target) -> tuple[dict[str, Any], float]:
        answer = ssh.run(target, ["python3", "-"], stdin=source, timeout=PROBE_FACTOR * settings.ssh_timeout)
        if answer.returncode:
            raise _failed(target, answer)
        return _facts(target, answer.stdout), clock.now()

    answers = ssh.on_all(hosts, attempt, max_parallel)
    unreachable: dict[str, ExpandError] = {}
    facts: dict[str, dict[str, Any]] = {}
    moments: dict[str, float] = {}
    for name, answer in answers.items():
        if isinstance(answer, ExpandError):
            unreachable[name] = answer
        else:
            facts[name], moments[name] = answer
    judged = [
        preflight.Host(node, facts[node.name], {k: v for k, v in facts.items() if k != node.name}, moments[node.name])
        for node in nodes
        if node.name in facts
    ]
    return Reached(facts, unreachable, tuple(preflight.findings(judged, settings.skipped)))


def _facts(target: Target, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as exc:
        raise UnreachableError(
            f"the host's answer is not what the probe prints: {text[:200]!r}",
            node=target.name,
            hint="make its shell print nothing on login (profile, bashrc)",
        ) from exc


def _failed(target: Target, answer: ssh.Answer) -> UnreachableError:
    said = answer.stderr.strip() or answer.stdout.strip() or "no output"
    return UnreachableError(
        f"a command over SSH ended with {answer.returncode}: {said[:300]}",
        node=target.name,
        hint="check that the user has python3, and sudo without a password where ssh:sudo is true",
        log="/var/log/auth.log on the host",
    )
