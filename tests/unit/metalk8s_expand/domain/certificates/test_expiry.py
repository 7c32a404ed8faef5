"""Problems and warnings about certificates, from the reports of their nodes."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.certificates import expiry
from metalk8s_expand.domain.certificates.expiry import DAY, Limits

LIMITS = Limits(error=7, warning=30)


def entry(days: float = 300, purpose: str = "apiserver", **more: Any) -> dict[str, Any]:
    return {
        "path": f"/etc/kubernetes/pki/{purpose}.crt", "serial": "a1", "key": "fits", "not_after": "2027-01-01T00:00:00Z",
        "seconds_left": round(days * DAY), **more,
    }  # fmt: skip


def problems(answer: Any) -> list[str]:
    return expiry.problems({"cp-1": answer}, LIMITS)


def warnings(answer: Any) -> list[str]:
    return expiry.warnings({"cp-1": answer}, LIMITS)


def test_valid_certificates_have_no_problems() -> None:
    answer = {
        "apiserver": entry(
            served={"port": 6443, "serial": "a1", "not_after": "2027-01-01T00:00:00Z"}
        ),
        "ca": entry(),
    }
    assert (problems(answer), warnings(answer)) == ([], [])


@pytest.mark.parametrize(
    ("days", "wanted"),
    [
        (-1, "expired on"),
        (0, "expired on"),
        (0.001, "in 86 seconds"),
        (0.007, "in 10 minutes"),
        (1, "in 24 hours"),
        (6.99, "in 6 days"),
    ],
)
def test_expired_or_nearly_expired_certificate_is_a_problem(days: float, wanted: str) -> None:
    [found] = problems({"apiserver": entry(days)})
    assert found.startswith("certificate apiserver of cp-1 ")
    assert wanted in found
    assert "metalk8s.orchestrate.renew_certificates" in found
    assert warnings({"apiserver": entry(days)}) == []


@pytest.mark.parametrize("days", [7, 29.9])
def test_certificate_that_expires_soon_is_a_warning(days: float) -> None:
    assert problems({"apiserver": entry(days)}) == []
    assert len(warnings({"apiserver": entry(days)})) == 1
    assert warnings({"apiserver": entry(30)}) == []


def test_remedy_for_ca_is_documentation() -> None:
    [found] = problems({"ca": entry(1)})
    assert found.endswith("see the page Certificates of the documentation")


@pytest.mark.parametrize("key", ["is missing", "is another's", "cannot be read"])
def test_key_that_does_not_fit_is_a_problem(key: str) -> None:
    assert problems({"apiserver": entry(key=key)}) == [
        f"certificate apiserver of cp-1: /etc/kubernetes/pki/apiserver.crt: its key {key}"
    ]
    assert len(problems({"ca": entry(key=key)})) == (0 if key == "is missing" else 1)


def test_unreadable_file_is_a_problem() -> None:
    answer = {"apiserver": {"path": "/x.crt", "error": "it is missing"}}
    assert problems(answer) == ["certificate apiserver of cp-1: /x.crt: it is missing"]
    assert expiry.first(answer) is None


def test_served_certificate_that_differs_is_a_problem() -> None:
    other = entry(served={"port": 6443, "serial": "a0", "not_after": "2026-01-01T00:00:00Z"})
    [found] = problems({"apiserver": other})
    assert "port 6443 serves another certificate" in found
    assert "expires on 2026-01-01T00:00:00Z" in found
    assert expiry.stale_problems({"apiserver": other}) == [
        found.removeprefix("certificate apiserver of cp-1: ")
    ]
    [silent] = problems({"apiserver": entry(served={"port": 6443, "error": "timed out"})})
    assert "does not answer: timed out" in silent


def test_files_of_unknown_purpose_are_no_problem() -> None:
    answer = {"/etc/kubernetes/pki/old": entry(-5), "kubelet-client": entry(20, "kubelet-client")}
    assert problems(answer) == []
    assert expiry.first(answer) == {
        "first": "kubelet-client",
        "not_after": "2027-01-01T00:00:00Z",
        "days_left": 20.0,
    }


def test_first_returns_certificate_that_expires_first() -> None:
    found = expiry.first(
        {
            "apiserver": entry(3),
            "ca": entry(2.5),
            "scheduler": {"path": "", "error": "it is missing"},
        }
    )
    assert found is not None
    assert (found["first"], found["days_left"]) == ("ca", 2.5)


def test_unknown_certificates_are_a_problem() -> None:
    assert problems("its minion does not answer") == [
        "the certificates of cp-1 are unknown: its minion does not answer"
    ]
    assert warnings("its minion does not answer") == []
