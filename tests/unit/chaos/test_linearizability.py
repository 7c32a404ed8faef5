"""Test which histories the judgement accepts and which violations it finds.

The histories are written by hand, or come from a correct store and are then corrupted.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos import linearizability
from chaos.linearizability import FAILED, OK, READ, UNKNOWN, WRITE, Event, MemberHistory, Operation


def write(
    revision: int | None,
    invoked: float,
    returned: float,
    outcome: str = OK,
    expected: int | None = None,
    key: str = "k",
    value: str | None = None,
) -> Operation:
    return Operation(
        "c",
        "s",
        WRITE,
        key,
        invoked,
        returned,
        outcome,
        revision,
        expected,
        value or f"v{revision}",
    )


def read(
    revision: int, invoked: float, returned: float, key: str = "k", value: str | None = None
) -> Operation:
    return Operation(
        "c", "s", READ, key, invoked, returned, OK, revision, None, value or f"v{revision}"
    )


def member(*revisions: int, name: str = "a", floor: int = 0, first: int = 1) -> MemberHistory:
    events = tuple(
        Event(revision, "k", first + number) for number, revision in enumerate(revisions)
    )
    return MemberHistory(name, floor, max(revisions, default=0), events)


def test_correct_history_has_no_problems() -> None:
    done = [
        write(3, 0, 1),
        write(5, 2, 3, expected=3),
        read(5, 4, 5),
        write(None, 4, 9, UNKNOWN),
        write(9, 6, 7, expected=7),
    ]
    members = [member(3, 5, 7, 9), member(3, 5, 7, 9, name="b")]
    assert linearizability.problems(done, members, [("a", Event(5, "k", 2))]) == []


def test_empty_history_has_no_problems() -> None:
    assert linearizability.problems([], []) == []


@pytest.mark.parametrize(
    ("done", "members", "words"),
    [
        ([write(3, 0, 1), write(5, 2, 3)], [member(3, 5), member(3, name="b")], "LOST"),
        ([write(3, 0, 1), write(3, 2, 3)], [member(3)], "one revision"),
        ([write(5, 0, 1), write(3, 2, 3)], [member(3, 5)], "no higher revision"),
        ([write(3, 0, 1), write(5, 2, 3), read(3, 4, 5)], [member(3, 5)], "older than"),
        (
            [write(3, 0, 1), read(3, 2, 3), write(5, 2, 9), read(5, 4, 5), read(3, 6, 7)],
            [member(3, 5)],
            "older than",
        ),
        (
            [write(3, 0, 1), write(5, 2, 3, expected=3)],
            [member(3, 4, 5)],
            "replaced the revision 4",
        ),
        ([write(3, 0, 1)], [MemberHistory("a", 0, 5, (Event(3, "k", 1), Event(5, "k", 3)))], "gap"),
        ([], [member(3, 5), member(3, 4, 5, name="b")], "SPLIT"),
        ([write(3, 0, 1), read(4, 2, 3)], [member(3)], "what was read is not there"),
        ([write(3, 0, 1), read(3, 2, 3, value="other")], [member(3)], "two values"),
        (
            [write(None, 0, 1, FAILED, value="no"), read(3, 2, 3, value="no")],
            [member(3)],
            "refused",
        ),
        ([replace(write(3, 0, 1), revision=None)], [member(3)], "without a revision"),
    ],
)
def test_violation_is_found(
    done: list[Operation], members: list[MemberHistory], words: str
) -> None:
    assert any(words in line for line in linearizability.problems(done, members))


def test_overlapping_operations_may_have_any_order() -> None:
    done = [write(5, 0, 3), write(3, 1, 2), read(3, 0.5, 4)]
    assert linearizability.problems(done, [member(3, 5)]) == []


def test_unknown_write_may_be_present_or_absent() -> None:
    done = [write(3, 0, 1), write(None, 2, 3, UNKNOWN), read(3, 4, 5)]
    assert linearizability.problems(done, [member(3)]) == []
    assert linearizability.problems(done, [member(3, 4)]) == []


def test_compacted_write_counts_if_a_member_has_shown_it() -> None:
    done = [write(3, 0, 1), write(5, 2, 3, expected=3)]
    members = [member(5, floor=4, first=2)]
    assert any("LOST" in line for line in linearizability.problems(done, members))
    assert linearizability.problems(done, members, [("b", Event(3, "k", 1))]) == []


def test_event_shown_by_a_member_must_remain() -> None:
    assert any(
        "was shown by b" in line
        for line in linearizability.problems([], [member(3)], [("b", Event(5, "k", 2))])
    )


def test_many_problems_of_a_kind_are_summarized() -> None:
    done = [write(number, number, number + 0.5) for number in range(1, 40)]
    found = linearizability.problems(done, [MemberHistory("a", 0, 40, ())])
    assert len(found) == linearizability.MOST + 1
    assert "29 more" in found[-1]


def test_longest_pause_counts_acknowledged_writes_only() -> None:
    done = [write(3, 0, 1), write(None, 2, 3, UNKNOWN), write(5, 4, 8.5)]
    assert linearizability.longest_pause(done) == 7.5
    assert linearizability.longest_pause([]) == 0
    assert linearizability.counts(done) == {"write ok": 2, "write unknown": 1}


class Store:
    """A random model of a correct etcd with clients whose operations overlap."""

    def __init__(self, seed: int, size: int) -> None:
        self.dice = random.Random(seed)
        self.revision = 1
        self.events: list[Event] = []
        self.operations: list[Operation] = []
        self.now = 0.0
        self.state: dict[str, tuple[int, int, str | None]] = {}
        for number in range(size):
            self.step(number)

    def step(self, number: int) -> None:
        """Execute an operation.

        It was invoked a little earlier and returns a little later, and its reply may be lost.
        """
        self.now += self.dice.uniform(0.1, 1)
        invoked, returned = self.now - self.dice.uniform(0, 2), self.now + self.dice.uniform(0, 2)
        self.revision += self.dice.choice((0, 0, 1, 3))  # other clients write as well
        key, client = self.dice.choice("xyz"), f"c{self.dice.randrange(4)}"
        last, version, value = self.state.get(key, (0, 0, None))
        one = Operation(client, "s", READ, key, invoked, returned, OK, last, None, value)
        if self.dice.random() < 0.6 or not last:
            one = replace(one, kind=WRITE, expected=last or None, value=f"v{number}", revision=None)
            if self.dice.random() < 0.15:
                self.operations.append(replace(one, outcome=FAILED))
                return
            self.revision += 1
            self.state[key] = (self.revision, version + 1, one.value)
            self.events.append(Event(self.revision, key, version + 1))
            lost_reply = self.dice.random() < 0.15
            one = replace(
                one,
                outcome=UNKNOWN if lost_reply else OK,
                revision=None if lost_reply else self.revision,
            )
        self.operations.append(one)

    def member(self, name: str = "a") -> MemberHistory:
        return MemberHistory(name, 0, self.revision, tuple(self.events))


stores = st.builds(Store, st.integers(0, 2**32), st.integers(5, 60))


@settings(deadline=None)
@given(stores)
def test_correct_store_passes(store: Store) -> None:
    seen = [("b", event) for event in store.events]
    assert (
        linearizability.problems(store.operations, [store.member(), store.member("b")], seen) == []
    )


@settings(deadline=None)
@given(stores, st.data())
def test_lost_write_is_found_on_any_member(store: Store, data: st.DataObject) -> None:
    done = linearizability.acknowledged(store.operations)
    if not done:
        return
    gone = data.draw(st.sampled_from(done)).revision
    events = tuple(event for event in store.events if event.revision != gone)
    found = linearizability.problems(
        store.operations, [store.member(), replace(store.member("b"), events=events)]
    )
    assert any(line.startswith("LOST") and "history of b" in line for line in found)
    assert any(line.startswith("SPLIT") for line in found)


@settings(deadline=None)
@given(stores, st.data())
def test_stale_read_is_found(store: Store, data: st.DataObject) -> None:
    done = linearizability.acknowledged(store.operations)
    pairs = [
        (old, new)
        for old in done
        for new in done
        if old.key == new.key and (old.revision or 0) < (new.revision or 0)
    ]
    if not pairs:
        return
    old, new = data.draw(st.sampled_from(pairs))
    late = Operation(
        "late",
        "s",
        READ,
        old.key,
        new.returned + 0.01,
        new.returned + 1,
        OK,
        old.revision,
        None,
        old.value,
    )
    assert list(linearizability.stale_reads([*store.operations, late]))


@settings(deadline=None)
@given(stores, st.data())
def test_writes_in_the_wrong_order_are_found(store: Store, data: st.DataObject) -> None:
    done = linearizability.acknowledged(store.operations)
    pairs = [(one, two) for one in done for two in done if one.returned < two.invoked]
    if not pairs:
        return
    one, two = data.draw(st.sampled_from(pairs))
    swapped = [replace(one, revision=two.revision), replace(two, revision=one.revision)]
    assert list(
        linearizability.disorder([*(item for item in done if item not in (one, two)), *swapped])
    )


@settings(deadline=None)
@given(stores, st.data())
def test_duplicate_revision_of_acknowledged_writes_is_found(
    store: Store, data: st.DataObject
) -> None:
    done = linearizability.acknowledged(store.operations)
    if len(done) < 2:
        return
    one, two = data.draw(st.lists(st.sampled_from(done), min_size=2, max_size=2, unique_by=id))
    assert list(linearizability.duplicates([one, replace(two, revision=one.revision)]))


def test_log_lines_are_converted_to_operations_and_events() -> None:
    noted = {
        "client": "c",
        "server": "s",
        "kind": READ,
        "key": "k",
        "invoked": 1.0,
        "returned": 2.0,
        "outcome": FAILED,
    }
    assert linearizability.operation(noted).revision is None
    assert linearizability.event(
        {"revision": "7", "key": "k", "version": "2", "member": "a"}
    ) == Event(7, "k", 2)
