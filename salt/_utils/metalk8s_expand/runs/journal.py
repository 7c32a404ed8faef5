"""Keep the journal of a run: written before a step begins and after it has ended, by one holder of the lock at a time.

A step does not begin when that cannot be written: nobody could go on from it. What has ended is written with the next
that begins, when it cannot be written at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Result, retry_on_conflict
from metalk8s_expand.clients.kubernetes.objects import Kube, store_config_map
from metalk8s_expand.domain.runs import journal_record as rules
from metalk8s_expand.domain.runs.journal_record import KEY, NAME, NAMESPACE, JournalRecord
from metalk8s_expand.domain.runs.lease_rules import LockLostError
from metalk8s_expand.errors import ConflictError, ExpandError, UnreachableError

log = logging.getLogger(__name__)

# API servers restart while control-plane nodes are added; the lock lasts longer than this.
PATIENCE_S = 20.0
PAUSE_S = 1.0


def read(kube: Kube) -> JournalRecord | None:
    """The journal of the run that is going on, or of the last one."""
    return _parsed(kube.config_map(NAMESPACE, NAME))


class JournalWriter:
    """The journal of this run. ``read`` may be called by others at any time."""

    def __init__(
        self, kube: Kube, run: str, doing: str, host: str, epoch: int, clock: Clock
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._found = self._repeated(lambda: kube.config_map(NAMESPACE, NAME))
        self.now = rules.next_record(_parsed(self._found), run, doing, host, epoch, clock.now())

    def fresh(self) -> None:
        """Nothing of an earlier run goes on any more."""
        self.now = self.now.fresh()
        self.keep()

    def began(self, node: str, step: str) -> None:
        """Before a step. Raises LockLostError or UnreachableError when it must not begin."""
        self.now = self.now.began(node, step, self._clock.now())
        self.keep()

    def at(self, node: str, job: str) -> None:
        """Before a Salt job of the node's step is started."""
        self.now = self.now.at(node, job)
        self.keep()

    def made(self, node: str) -> None:
        """Before a Node is created."""
        self.now = self.now.made(node)
        self.keep()

    def taken(self, node: str) -> None:
        """A Node is a kubelet's by now, or was deleted."""
        self.now = self.now.taken(node)

    def left(self, node: str, failure: str = "") -> None:
        """After the last step of a node."""
        self.now = self.now.left(node, failure)
        self.try_to_keep()

    def said(self, line: str) -> None:
        """A line was told; written with whatever is written next."""
        self.now = self.now.said(line)

    def close(self, outcome: str) -> None:
        """At the end of the run."""
        self.now = self.now.closed(self._clock.now(), outcome)
        self.try_to_keep()

    def try_to_keep(self) -> None:
        """Write it down if that can be done."""
        try:
            self.keep()
        except ExpandError as error:
            log.warning("the journal of the run was not written: %s", error.message)

    def keep(self) -> None:
        """Write it down. A reply that was lost may have been a success, so who wrote last is read then."""
        self._repeated(self._write)

    def _write(self) -> None:
        try:
            self._found = store_config_map(
                self._kube, NAMESPACE, NAME, {KEY: rules.serialize(self.now)}, self._found
            )
        except (ConflictError, UnreachableError):
            self._look()
            raise

    def _look(self) -> None:
        """Who wrote it last. Raises LockLostError when that is a newer run."""
        found = self._kube.config_map(NAMESPACE, NAME)
        stored = _parsed(found)
        if stored is not None and stored.epoch > self.now.epoch:
            raise LockLostError(
                f"{stored.title} is newer than this one, which therefore stops before its next change",
                hint="follow it: salt-run metalk8s_expand.status follow=True",
            )
        self._found = found

    def _repeated(self, attempt: Callable[[], Result]) -> Result:
        return retry_on_conflict(attempt, PATIENCE_S, lambda: PAUSE_S, self._clock)


def _parsed(found: Any) -> JournalRecord | None:
    return rules.parse(((found or {}).get("data") or {}).get(KEY, ""))
