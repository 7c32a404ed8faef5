"""The etcd process of a host in memory."""

from __future__ import annotations

from metalk8s_expand.domain.etcd.metrics import MemberStart

LOST = MemberStart(starting=True, lost=True)


class FakeServer:
    """A process whose metrics say ``state``, and ``restarted`` after its end if that is given.

    ``runs`` says whether it can be ended, ``ended`` how often it was.
    """

    def __init__(self, state: MemberStart = LOST, restarted: MemberStart | None = None) -> None:
        self.state = state
        self.restarted = restarted
        self.runs = True
        self.ended = 0

    def start(self) -> MemberStart:
        return self.state

    def end(self) -> bool:
        self.ended += self.runs
        if self.runs and self.restarted is not None:
            self.state = self.restarted
        return self.runs
