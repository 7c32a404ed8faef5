"""Tests of minions that answer, that answer with other data, and that do not answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from metalk8s_expand.cluster import certificates
from metalk8s_expand.errors import UnreachableError

ANSWER = {
    "kubelet-client": {
        "path": "/x.crt",
        "not_after": "2027-01-01T00:00:00Z",
        "seconds_left": 86400,
        "key": "fits",
    }
}


class Minions:
    def __init__(self, answers: Mapping[str, Any], limit: int = 99) -> None:
        self.answers, self.limit = answers, limit
        self.asked: list[list[str]] = []

    def ask(
        self, minions: Iterable[str], function: str, arguments: Sequence[Any]
    ) -> Mapping[str, Any]:
        assert (function, arguments) == ("metalk8s_expand_host.certificates", [])
        self.asked.append(list(minions))
        if len(self.asked) > self.limit:
            raise UnreachableError("no master")
        return self.answers


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (None, "its minion does not answer"),
        (False, "its minion does not answer"),
        ("'metalk8s_expand_host.certificates' is not available.", "salt a saltutil.sync_all"),
        ("Traceback\n  File x\nOSError: it broke", "OSError: it broke"),
        ("", "its minion answers: nothing"),
    ],
)
def test_row_without_answer_gives_reason(answer: Any, wanted: str) -> None:
    found = certificates.observed(Minions({"a": answer}), ["a"])
    assert wanted in str(found["a"])
    assert set(certificates.overview(found)["a"]) == {"unknown"}


def test_overview_lists_first_certificate_to_end() -> None:
    rows = certificates.overview(certificates.observed(Minions({"a": ANSWER, "b": {}}), ["a", "b"]))
    assert rows["a"] == {
        "first": "kubelet-client",
        "not_after": "2027-01-01T00:00:00Z",
        "days_left": 1.0,
    }
    assert "unknown" in rows["b"]
    assert certificates.render_certificates(rows)[0] == (
        "a",
        "kubelet-client",
        "2027-01-01T00:00:00Z",
        "1.0",
    )
    assert certificates.render_certificates(rows)[1][-1] == "unknown"


def test_thousands_of_minions_are_asked_in_chunks_and_lost_master_once() -> None:
    names = [f"w-{number}" for number in range(2500)]
    minions = Minions(dict.fromkeys(names, ANSWER), limit=1)
    found = certificates.observed(minions, names)
    assert [len(asked) for asked in minions.asked] == [1000, 1000]
    assert [found[names[0]], found[names[999]], found[names[1000]], found[names[2499]]] == [
        ANSWER,
        ANSWER,
        "no master",
        "no master",
    ]


def test_empty_list_of_minions() -> None:
    minions = Minions({})
    assert (certificates.observed(minions, []), minions.asked) == ({}, [])
