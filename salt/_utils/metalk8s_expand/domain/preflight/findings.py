"""Run the preflight checks on the facts of all hosts and collect the findings.

The checks have names, like those of kubeadm. All of them run before the preflight fails, and each
can be skipped by name. A check reads facts only and performs no I/O. Each check is one function in
``checks``, with a test and a line in the documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from metalk8s_expand.domain.preflight.checks import (
    etcd,
    identity,
    kernel,
    leftovers,
    network,
    registry,
    resources,
    software,
    system,
)
from metalk8s_expand.domain.preflight.checks.context import CheckContext, Facts, FactUnknown
from metalk8s_expand.domain.preflight.checks.duplicates import DuplicateIndex, index_duplicates
from metalk8s_expand.domain.preflight.checks.registry import (
    ERROR,
    UNKNOWN,
    WARNING,
    Check,
    CheckFailure,
)
from metalk8s_expand.domain.preflight.cluster_facts import ExistingNode
from metalk8s_expand.domain.preflight.facts_request import QUESTIONS, request
from metalk8s_expand.errors import visible

__all__ = [
    "CHECKS", "ERROR", "NAMES", "QUESTIONS", "UNKNOWN", "WARNING", "CheckContext",
    "Facts", "Finding", "errors", "findings", "request",
]  # fmt: skip

# The checks run and the findings are reported in this order.
SUBJECTS = [
    module.__name__
    for module in (system, identity, kernel, resources, software, network, etcd, leftovers)
]
CHECKS: Mapping[str, Check] = dict(
    sorted(registry.CHECKS.items(), key=lambda item: SUBJECTS.index(item[1].__module__))
)
NAMES = tuple(CHECKS)


@dataclass(frozen=True)
class Finding:
    """What one check found on one host, what it wanted, and the remedy."""

    node: str
    check: str
    found: str
    wanted: str
    remedy: str
    severity: str = ERROR

    def __post_init__(self) -> None:
        # The facts come from a host.
        object.__setattr__(self, "found", visible(self.found))
        object.__setattr__(self, "wanted", visible(self.wanted))
        object.__setattr__(self, "remedy", visible(self.remedy))

    def __str__(self) -> str:
        return (
            f"node {self.node}: {self.check}: found {self.found}, wanted {self.wanted};"
            f" {self.remedy}"
        )

    def as_dict(self) -> dict[str, str]:
        """Return the finding as a JSON-ready mapping."""
        return dict(self.__dict__)


def findings(
    hosts: Sequence[CheckContext], skipped: Callable[[str], Collection[str]] = lambda name: ()
) -> list[Finding]:
    """Return every finding on every host, in the order of hosts and checks.

    ``skipped`` returns the names of the checks to skip for a node's name.
    """
    everyone = _census(hosts)
    all_findings: list[Finding] = []
    for host in hosts:
        left_out = skipped(host.name)
        known = dataclasses.replace(host, census=everyone)
        for name, check in CHECKS.items():
            if name in left_out:
                continue
            finding = _finding(known, name, check)
            if finding is not None:
                all_findings.append(finding)
    return all_findings


def errors(all_findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that stop an expansion."""
    return [finding for finding in all_findings if finding.severity == ERROR]


def _finding(host: CheckContext, name: str, check: Check) -> Finding | None:
    """Return the finding of a check, or None if it passes.

    An exception in the check is itself an error finding, so the other checks still run.
    """
    try:
        remark = check(host)
    except FactUnknown as untold:
        remedy = untold.remedy or f"check it by hand, or skip this check (preflight:skip: {name})"
        remark = CheckFailure(untold.what, "a known value", remedy, UNKNOWN)
    except Exception as exc:
        remark = CheckFailure(
            f"the check itself failed: {exc!r}",
            "an answer",
            f"report this defect; preflight:skip: {name} skips the check",
        )
    return None if remark is None else Finding(host.name, name, **remark.__dict__)


def _census(hosts: Sequence[CheckContext]) -> DuplicateIndex:
    facts: dict[str, Facts] = {}
    nodes: dict[str, ExistingNode] = {}
    for host in hosts:
        facts.update(host.others)
    distinct = {id(host.surroundings): host.surroundings for host in hosts}
    for surroundings in distinct.values():
        nodes.update(surroundings.nodes)
    skews = []
    for host in hosts:
        facts[host.name] = host.facts
        skew = _skew(host)
        if skew is not None:
            skews.append(skew)
    return index_duplicates(facts, nodes.values(), skews)


def _skew(host: CheckContext) -> float | None:
    try:
        return host.skew
    except (FactUnknown, TypeError, ValueError):
        return None
