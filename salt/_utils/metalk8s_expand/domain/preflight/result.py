"""The result of the host preflight: facts, SSH errors of unreachable hosts, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.node.name_ranges import listed
from metalk8s_expand.domain.preflight import findings as preflight
from metalk8s_expand.domain.preflight.findings import Finding
from metalk8s_expand.errors import ExpandError, PreflightError, UnreachableError

HINT = "fix these hosts, or continue without them with skip_failed=True; nothing was changed"
PASSED, FAILED, UNREACHABLE = "passed", "failed", "unreachable"


@dataclass(frozen=True)
class PreflightResult:
    """Facts and errors by node name, and the findings of all checks on all hosts."""

    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unreachable: Mapping[str, ExpandError] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """The nodes that the run must not change."""
        broken = [item.node for item in preflight.errors(self.findings)]
        return tuple(dict.fromkeys([*self.unreachable, *broken]))

    @property
    def reasons(self) -> dict[str, str]:
        """The reasons why the run must not change a node, by node."""
        reasons = {name: error.message for name, error in self.unreachable.items()}
        for item in preflight.errors(self.findings):
            reason = f"{item.check}: found {item.found}"
            earlier = reasons.get(item.node)
            reasons[item.node] = f"{earlier}; {reason}" if earlier else reason
        return reasons

    @property
    def retcode(self) -> int:
        """The exit code; warnings and unknown facts never fail the preflight."""
        if self.unreachable:
            return UnreachableError.retcode
        return PreflightError.retcode if self.failed else 0

    def error(self) -> ExpandError | None:
        """Return one error with all problems of all hosts, or None if all hosts pass.

        It is an UnreachableError if any host is unreachable, otherwise a PreflightError.
        """
        broken = [str(item) for item in preflight.errors(self.findings)]
        if self.unreachable:
            problems = [error.as_problem for error in self.unreachable.values()]
            names = listed(tuple(self.unreachable))
            return UnreachableError(
                f"not every host can be reached: {names}", hint=HINT, problems=problems + broken
            )
        if broken:
            return PreflightError(
                f"not every host meets the requirements: {listed(self.failed)}",
                hint=HINT,
                problems=broken,
            )
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping of host outcomes, findings, SSH errors and the exit code."""
        outcomes = {
            **dict.fromkeys(self.facts, PASSED),
            **dict.fromkeys(self.failed, FAILED),
            **dict.fromkeys(self.unreachable, UNREACHABLE),
        }
        return {
            "hosts": outcomes,
            "findings": [item.as_dict() for item in self.findings],
            "unreachable": {name: error.as_dict() for name, error in self.unreachable.items()},
            "retcode": self.retcode,
        }
