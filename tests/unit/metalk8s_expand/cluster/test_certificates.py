"""Tests of minions that answer, that answer with other data, and that do not answer."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.cluster import certificates
from tests.fakes.minions import FakeMinions

ANSWER = {
    "kubelet-client": {
        "path": "/x.crt",
        "not_after": "2027-01-01T00:00:00Z",
        "seconds_left": 86400,
        "key": "fits",
    }
}


def observed(minions: FakeMinions, names: list[str]) -> dict[str, Any]:
    """Return the answers of these nodes, for which the minions run one function only."""
    found = certificates.observed(minions, names)  # type: ignore[arg-type]
    for _, function, arguments in minions.asked:
        assert (function, arguments) == ("metalk8s_expand_host.certificates", [])
    return found


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (None, "its minion does not answer the master"),
        (False, "its minion does not answer the master"),
        ("'metalk8s_expand_host.certificates' is not available.", "salt a saltutil.sync_all"),
        ("Traceback\n  File x\nOSError: it broke", "OSError: it broke"),
        ("", "its minion answers: nothing"),
    ],
)
def test_row_without_answer_gives_reason(answer: Any, wanted: str) -> None:
    found = observed(FakeMinions({"a": answer}), ["a"])
    assert wanted in str(found["a"])
    assert set(certificates.overview(found)["a"]) == {"unknown"}


def test_overview_lists_first_certificate_to_end() -> None:
    rows = certificates.overview(observed(FakeMinions({"a": ANSWER, "b": {}}), ["a", "b"]))
    assert rows["a"] == {
        "first": "kubelet-client",
        "not_after": "2027-01-01T00:00:00Z",
        "days_left": 1.0,
    }
    assert "unknown" in rows["b"]


def test_thousands_of_minions_are_asked_in_chunks_and_lost_master_once() -> None:
    names = [f"w-{number}" for number in range(2500)]
    minions = FakeMinions(dict.fromkeys(names, ANSWER), limit=1)
    found = observed(minions, names)
    assert [len(asked) for asked, _, _ in minions.asked] == [1000, 1000]
    assert [found[names[0]], found[names[999]], found[names[1000]], found[names[2499]]] == [
        ANSWER,
        ANSWER,
        "no master",
        "no master",
    ]


def test_empty_list_of_minions() -> None:
    minions = FakeMinions({})
    assert (observed(minions, []), minions.asked) == ({}, [])
