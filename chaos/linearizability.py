"""Compare the answers to clients with the data of etcd members. Pure functions.

The comparison finds lost acknowledged writes and stale reads. A revision of etcd is unique and
grows, and the API returns it as resourceVersion. Therefore the acknowledged revisions order all
writes, and each compare-and-swap names the revision that it replaces. The comparison with etcd
needs no values, which may be encrypted.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

WRITE, READ = "write", "read"
# Acknowledged; certainly not done; unknown (no answer, or an answer that leaves it open).
OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
MOST = 10


@dataclass(frozen=True)
class Operation:
    """A request of a client and its result.

    The times are of one monotonic clock. ``expected`` is the revision to be replaced.
    """

    client: str
    server: str
    kind: str
    key: str
    invoked: float
    returned: float
    outcome: str
    revision: int | None = None
    expected: int | None = None
    value: str | None = None

    @property
    def title(self) -> str:
        return (
            f"{self.kind} of {self.key} by {self.client} through {self.server} (revision"
            f" {self.revision})"
        )


@dataclass(frozen=True, order=True)
class Event:
    """A change that a member holds; ``version`` counts the changes since the key's creation."""

    revision: int
    key: str
    version: int


@dataclass(frozen=True)
class MemberHistory:
    """The events of a member at the end of the run.

    They are all events after the compacted revision ``floor`` up to the revision ``end``.
    """

    name: str
    floor: int
    end: int
    events: tuple[Event, ...]


def problems(
    operations: Sequence[Operation],
    members: Sequence[MemberHistory],
    seen: Iterable[tuple[str, Event]] = (),
) -> list[str]:
    """Return all violations as sentences; ``seen`` holds the events of watches by member name."""
    noted = list(seen)
    found = (
        unnamed(operations),
        duplicates(operations),
        disorder(operations),
        stale_reads(operations),
        values(operations),
        lost(operations, members, {event for _, event in noted}),
        lineage(operations, members),
        disagreement(members),
        forgotten(members, noted),
    )
    return [line for kind in found for line in _some(kind)]


def acknowledged(operations: Iterable[Operation], kind: str = WRITE) -> list[Operation]:
    """Return the acknowledged operations that have a revision."""
    return [
        one
        for one in operations
        if one.kind == kind and one.outcome == OK and one.revision is not None
    ]


def unnamed(operations: Iterable[Operation]) -> Iterator[str]:
    """Report acknowledgements without a revision: they cannot be checked."""
    for one in operations:
        if one.outcome == OK and one.revision is None:
            yield f"the {one.title} was acknowledged without a revision"


def duplicates(operations: Iterable[Operation]) -> Iterator[str]:
    """Report two acknowledged writes with the same revision."""
    first: dict[int, Operation] = {}
    for one in acknowledged(operations):
        other = first.setdefault(one.revision or 0, one)
        if other is not one:
            yield f"two writes were acknowledged with one revision: {other.title}, {one.title}"


def disorder(operations: Iterable[Operation]) -> Iterator[str]:
    """Report a write that began after another had returned, but has no higher revision."""
    writes = acknowledged(operations)
    yield from (
        f"the {late.title} began after the {early.title} had returned, and has no higher revision"
        for early, late in _overtaken(writes, writes, strictly=True)
    )


def stale_reads(operations: Iterable[Operation]) -> Iterator[str]:
    """Report a read that is older than a write or a read that returned before it began."""
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for one in (*acknowledged(operations), *acknowledged(operations, READ)):
        by_key[one.key].append(one)
    for known in by_key.values():
        reads = [one for one in known if one.kind == READ]
        for early, late in _overtaken(known, reads, strictly=False):
            yield (
                f"the {late.title} is older than the {early.title}, which had returned before it"
                " began"
            )


def _overtaken(
    earlier: Iterable[Operation], later: Iterable[Operation], strictly: bool
) -> Iterator[tuple[Operation, Operation]]:
    """Yield pairs where the second began after the first returned, but has a lower revision.

    With ``strictly`` an equal revision counts too.
    """
    returned = [(one.returned, number, one) for number, one in enumerate(earlier)]
    heapq.heapify(returned)
    newest: Operation | None = None
    for one in sorted(later, key=lambda item: item.invoked):
        while returned and returned[0][0] < one.invoked:
            other = heapq.heappop(returned)[2]
            newest = (
                other
                if newest is None or (other.revision or 0) > (newest.revision or 0)
                else newest
            )
        if newest is not None and newest is not one:
            gap = (one.revision or 0) - (newest.revision or 0)
            if gap < 0 or (strictly and gap == 0):
                yield newest, one


def values(operations: Sequence[Operation]) -> Iterator[str]:
    """Report different values of the same revision, and reads of a refused value."""
    first: dict[tuple[str, int], Operation] = {}
    refused = {
        one.value: one
        for one in operations
        if one.kind == WRITE and one.outcome == FAILED and one.value
    }
    for one in (*acknowledged(operations), *acknowledged(operations, READ)):
        other = first.setdefault((one.key, one.revision or 0), one)
        if other.value != one.value:
            yield (
                f"one revision has two values: {other.title} {other.value!r}, {one.title}"
                f" {one.value!r}"
            )
        if one.kind == READ and one.value in refused:
            yield f"the {one.title} found the value of a write that was refused: {one.value!r}"


def lost(
    operations: Sequence[Operation], members: Iterable[MemberHistory], seen: set[Event]
) -> Iterator[str]:
    """Report an acknowledged operation whose revision a member does not hold.

    For a compacted revision, report it if no member ever showed the event.
    """
    shown = {(event.key, event.revision) for event in seen}
    for member in members:
        held = {(event.key, event.revision) for event in member.events}
        for one in (*acknowledged(operations), *acknowledged(operations, READ)):
            place = (one.key, one.revision or 0)
            if place not in (held if place[1] > member.floor else shown):
                what = (
                    "LOST: the acknowledged"
                    if one.kind == WRITE
                    else "what was read is not there: the"
                )
                yield (
                    f"{what} {one.title} is not in the history of {member.name}"
                    f" ({member.floor}–{member.end}]"
                )


def lineage(operations: Sequence[Operation], members: Iterable[MemberHistory]) -> Iterator[str]:
    """Report a write that replaced another revision than it named, and gaps in a key's versions."""
    expected = {
        (one.key, one.revision): one for one in acknowledged(operations) if one.expected is not None
    }
    for member in members:
        for earlier, later in _changes(member):
            write = expected.get((later.key, later.revision))
            if write and write.expected != earlier.revision:
                yield (
                    f"{member.name}: the {write.title} replaced the revision {earlier.revision},"
                    f" not {write.expected}"
                )
            if later.version != earlier.version + 1:
                yield (
                    f"{member.name}: {later.key} has a gap between the versions {earlier.version}"
                    f" and {later.version}"
                )


def _changes(member: MemberHistory) -> Iterator[tuple[Event, Event]]:
    by_key: defaultdict[str, list[Event]] = defaultdict(list)
    for event in sorted(member.events):
        by_key[event.key].append(event)
    for events in by_key.values():
        yield from pairwise(events)


def disagreement(members: Sequence[MemberHistory]) -> Iterator[str]:
    """Report members that hold different events where their histories overlap."""
    if not members:
        return
    first, *others = members
    for other in others:
        floor, end = max(first.floor, other.floor), min(first.end, other.end)
        ours, theirs = (
            {event for event in one.events if floor < event.revision <= end}
            for one in (first, other)
        )
        for event in sorted(ours ^ theirs):
            has, lacks = (first, other) if event in ours else (other, first)
            yield f"SPLIT: {event} is in the history of {has.name}, not in that of {lacks.name}"


def forgotten(members: Iterable[MemberHistory], seen: Iterable[tuple[str, Event]]) -> Iterator[str]:
    """Report events that a member showed during the run and that a member lacks at the end."""
    shown = sorted({(event, name) for name, event in seen})
    for member in members:
        held = set(member.events)
        for event, name in shown:
            if event.revision > member.floor and event not in held:
                yield (
                    f"LOST: {event} was shown by {name} and is not in the history of {member.name}"
                )


def longest_pause(operations: Iterable[Operation]) -> float:
    """Return the longest time in seconds between two acknowledged writes of any clients."""
    moments = sorted(one.returned for one in acknowledged(operations))
    return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)


def counts(operations: Iterable[Operation]) -> dict[str, int]:
    """Return the number of operations of each kind and outcome."""
    found: defaultdict[str, int] = defaultdict(int)
    for one in operations:
        found[f"{one.kind} {one.outcome}"] += 1
    return dict(sorted(found.items()))


def operation(item: Mapping[str, Any]) -> Operation:
    """Convert a line of a writer's log."""
    return Operation(**item)


def event(item: Mapping[str, Any]) -> Event:
    """Convert an event of etcd's gateway, which sends numbers as strings."""
    return Event(int(item["revision"]), str(item["key"]), int(item["version"]))


def _some(lines: Iterator[str]) -> list[str]:
    found = list(islice(lines, MOST))
    more = sum(1 for _ in lines)
    return [*found, f"… and {more} more of that kind"] if more else found
