"""Read what etcd's metrics say about the start of a member."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "etcd_"


@dataclass(frozen=True)
class MemberStart:
    """What the metrics of a member say about its start.

    A member that starts sends its name to the leader, and serves no client before it has seen that
    entry. A request to it would wait as long: it is ``starting``. A busy voter may look the same
    for a moment.

    If it receives a snapshot that has the entry already, the answer is ``lost``. Then it waits
    until its time is up: five seconds and twice the election timeout (etcd 3.6, ``publishV3`` in
    etcdserver/server.go).
    """

    starting: bool = False
    lost: bool = False


def member_start(text: str) -> MemberStart:
    """Return what etcd's metrics, in the format of Prometheus, say about the start."""
    values = _sums(text)
    if not values:
        return MemberStart()
    learner = values.get("server_is_learner") == 1
    led = values.get("server_has_leader") == 1
    # Before the first entries, a learner does not know yet that it is one.
    waits = led and values.get("server_proposals_pending", 0) >= 1
    restored = (
        values.get("network_snapshot_receive_success", 0) >= 1
        and values.get("server_snapshot_apply_in_progress_total") == 0
    )
    return MemberStart(starting=waits or not led, lost=learner and waits and restored)


def _sums(text: str) -> dict[str, float]:
    """Return the sum of each metric over its labels, by its name without the prefix."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if not series.startswith(PREFIX):
            continue
        name = series.partition("{")[0].removeprefix(PREFIX)
        try:
            sums[name] = sums.get(name, 0.0) + float(value)
        except ValueError:
            continue
    return sums
