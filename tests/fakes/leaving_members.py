"""An etcd cluster that a member leaves."""

from __future__ import annotations

from metalk8s_expand.errors import ConflictError
from tests.fakes.etcd_members import FakeEtcd


class Etcd(FakeEtcd):
    """An etcd with a leader, which alone can transfer leadership."""

    led_by = 1

    def leader(self) -> int:
        return self.led_by if self.led_by in self.listed else 0

    def move_leader(self, leader_id: int, target_id: int) -> None:
        if leader_id != self.led_by:
            raise ConflictError("etcdserver: not leader")
        self.led_by = target_id
        self._done("move", f"{target_id}")
