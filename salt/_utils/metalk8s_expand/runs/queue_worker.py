"""Store the requests of events, and process the stored requests, one expansion at a time.

A reaction stores a request, and the master's schedule starts the worker that processes them. The
worker removes a request only after its node is in the cluster, so a killed worker loses no request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.lease import Leases, stamp
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion.plan import Plan, SelectPlan
from metalk8s_expand.domain.reports.run import render_report
from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.document import Block, text_block
from metalk8s_expand.domain.runs import lease_rules as leases
from metalk8s_expand.domain.runs import queue_rules as rules
from metalk8s_expand.domain.runs.queue_rules import Request
from metalk8s_expand.errors import ExpandError, LockedError
from metalk8s_expand.runs import request_queue
from metalk8s_expand.runs.request_queue import Requests

log = logging.getLogger(__name__)

# If a holder has not renewed its Lease for this number of lease durations by this master's clock,
# the worker waits until the Lease provably has expired.
SILENT_TERMS = 3
SPARE_S = 15.0

Result = dict[str, Any]


class Expand(Protocol):
    """Expands the nodes. Under the lock, it calls ``admit``, which returns the plan to execute."""

    def __call__(self, names: Sequence[str], wait_s: float, admit: SelectPlan) -> Result: ...


def request(
    kube: Kube, declared: Callable[[], Settings], node: object, retry: bool, clock: Clock
) -> Result:
    """Store the request for one declared node.

    SettingsError for any other value; the queue stores nothing of it.
    """
    name = rules.name(node)
    # Only the first of many equal events renders the pillar.
    if name not in request_queue.read(kube) and name not in declared().nodes:
        raise rules.refusal(name, "the pillar does not declare it")
    return {"node": name, "changed": request_queue.request(kube, name, retry, clock=clock)}


def rows(kube: Kube) -> list[Result]:
    """Return the requests for ``status``, the oldest first."""
    return [stored.as_dict() for stored in request_queue.read(kube).values()]


@dataclass
class QueueWorker:
    """One execution of the queue worker."""

    kube: Kube
    leases: Leases
    declared: Callable[[], Settings]
    plan: Callable[[Settings, Sequence[str]], Plan]
    expand: Expand
    clock: Clock
    begun: list[str] = field(default_factory=list)

    def process(self) -> Result:
        """Expand the nodes whose requests are due.

        The error of one node is stored in its request. An error of the whole expansion is raised.
        """
        stored = request_queue.read(self.kube)
        if not stored:
            return self._result()
        declared = self.declared()
        requests = self._known(stored, declared)
        due = [name for name, request in requests.items() if request.is_due(self.clock.now())]
        try:
            settled = self.plan(declared, list(requests)).unchanged
            self._remove(settled)
            due = [name for name in due if name not in settled]
            return self._expanded(due) if due else self._result(done=settled)
        except LockedError as error:
            if not self.begun:
                return self._result(locked=error.message)
            self._note(error, self.begun)
            raise
        except ExpandError as error:
            self._note(error, self.begun or due)
            raise

    def _expanded(self, due: Sequence[str]) -> Result:
        report = self.expand(due, self._patience(), self._admit)
        nodes = {node["name"]: node for node in report.get("nodes", ())}
        failures: dict[str, Callable[[Request], Request]] = {}
        succeeded = []
        for name in self.begun:
            if name not in nodes:
                continue
            if nodes[name]["ok"]:
                succeeded.append(name)
            else:
                failures[name] = _failing(_reason(nodes[name]))
        self._alter(failures)
        self._remove(succeeded)
        return self._result(report)

    def _admit(self, plan: Plan) -> Plan:
        """Return the part of the plan to execute; called while the run holds the lock.

        A refused node does not delay the other nodes. The worker records each attempt before it
        starts.
        """
        self._remove(plan.unchanged)
        refused = {item.node.name: item.refused or "" for item in plan.refused}
        admitted = plan.without(refused)
        names = [item.node.name for item in admitted.nodes]
        now = self.clock.now()
        moves: dict[str, Callable[[Request], Request]] = {}
        for name in names:
            moves[name] = lambda request: request.begun(now)
        for name, reason in refused.items():
            moves[name] = _refusing(reason, now)
        self._alter(moves)
        self.begun = names
        return admitted

    def _known(self, requests: Requests, declared: Settings) -> dict[str, Request]:
        """Return the requests without those whose node the pillar no longer declares."""
        gone = [name for name in requests if name not in declared.nodes]
        if gone:
            log.warning(
                "requests of nodes that the pillar no longer declares are dropped: %s",
                ascii(gone[:10]),
            )
            self._remove(gone)
        return rules.declared_only(requests, declared.nodes)

    def _remove(self, names: Sequence[str]) -> None:
        def without(requests: Requests) -> Requests:
            return {name: request for name, request in requests.items() if name not in names}

        if names:
            request_queue.change(self.kube, without, self.clock)

    def _alter(self, moves: Mapping[str, Callable[[Request], Request]]) -> None:
        def alter(requests: Requests) -> Requests:
            altered = dict(requests)
            for name, move in moves.items():
                if name in requests:
                    altered[name] = move(requests[name])
            return altered

        if moves:
            request_queue.change(self.kube, alter, self.clock)

    def _note(self, error: ExpandError, names: Sequence[str]) -> None:
        """Record why none of these requests was completed.

        A failure before the start of an attempt does not count as an attempt.
        """
        try:
            self._alter({name: _failing(error.message) for name in names})
        except ExpandError as again:
            log.warning("the error of the requests was not stored: %s", again.message)

    def _patience(self) -> float:
        """Return for how many seconds the expansion waits for the lock.

        0 if the lock is free or its holder renews it. If the holder seems dead, the time that
        proves it: the lease duration and a margin.
        """
        lease = leases.of(self.leases.get())
        if lease is None or not lease.holder or not lease.renewed:
            return 0
        silent = lease.renewed < stamp(self.clock.now() - SILENT_TERMS * lease.duration)
        return lease.duration + SPARE_S if silent else 0

    def _result(
        self, report: Result | None = None, done: Sequence[str] = (), locked: str | None = None
    ) -> Result:
        return {
            "report": report,
            "done": sorted(done),
            "locked": locked,
            "queue": rows(self.kube),
            "retcode": int((report or {}).get("retcode", 0)),
        }


def render_requests(result: Mapping[str, Any]) -> list[Block]:
    """Return the document for the result of the worker: its expansion, and what remains."""
    blocks = render_report(result["report"]) if result["report"] else []
    if result["locked"]:
        blocks.append(text_block(f"Another run is active, the requests stay: {result['locked']}"))
    if result["queue"]:
        names = [row["node"] for row in result["queue"]]
        blocks.append(similar_texts.block(rules.text(result["queue"]), "requests", names))
    return blocks or [text_block("No request is pending.")]


def _failing(reason: str) -> Callable[[Request], Request]:
    return lambda request: request.failed(reason)


def _refusing(reason: str, now: float) -> Callable[[Request], Request]:
    return lambda request: request.refused(reason, now)


def _reason(node: Mapping[str, Any]) -> str:
    return str((node["error"] or {}).get("message") or node["skipped"] or "it failed")
