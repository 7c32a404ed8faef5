"""Hold the lock, the journal and the signal handlers of one run, and publish its events."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from metalk8s_expand.clients.host import signals
from metalk8s_expand.clients.kubernetes.lease import claim
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.context import Call
from metalk8s_expand.domain.runs import events
from metalk8s_expand.expansion.workflow import Held
from metalk8s_expand.runs import orphaned_jobs
from metalk8s_expand.runs.journal import JournalWriter
from metalk8s_expand.runs.lock import Lock, acquire


class Holding(Call):
    """A call that holds the lock while it changes the cluster."""

    @contextmanager
    def _held(self, doing: str, wait_s: float, patience: float) -> Iterator[Held]:
        """Hold the lock for one run, and yield after jobs of earlier runs have ended.

        No other run changes the cluster while this one holds the lock.
        """
        with self._locked(doing, wait_s) as lock, signals.handle_signals() as heard:
            writer = JournalWriter(
                self.world.kube, self.progress.run, doing, platform.node(), lock.epoch, self.clock
            )
            self.progress.listener, self.progress.bus = writer.said, self.bus.fire
            held, outcome = Held(lock, writer, lambda: heard.name or lock.stop), "failed"
            self.progress.event(events.started(self.progress.run, doing, writer.now.host))
            try:
                writer.keep()
                orphaned_jobs.wait(
                    self.world, writer.now, patience, self.clock, held.go_on, self._resuming
                )
                lock.check()
                writer.fresh()
                yield held
                outcome = "ended"
            except KeyboardInterrupt:
                outcome = "been interrupted"
                raise
            finally:
                writer.close(outcome)
                self._tell_end(doing, outcome, held.outcome.get("retcode"), sys.exc_info()[1])

    def _tell_end(
        self, doing: str, outcome: str, retcode: int | None, error: BaseException | None
    ) -> None:
        """Publish the end of the run. ``retcode`` comes from the report, if there is one."""
        if retcode is None:
            retcode = getattr(error, "retcode", 1) if error else 0
        self.progress.event(
            events.ended(self.progress.run, doing, outcome, self.progress.elapsed(), retcode, error)
        )

    def _resuming(self, text: str) -> None:
        self.progress("", "resume", text)

    def _locked(self, doing: str, wait_s: float) -> Lock:
        """Acquire the Lease, which only one run holds at a time."""
        return acquire(
            self.world.leases(),
            claim(self.progress.run, doing),
            arguments.seconds("wait_s", wait_s),
            clock=self.clock,
            waiting=lambda holder: self.progress("", "lock", f"waiting for {holder}"),
        )
