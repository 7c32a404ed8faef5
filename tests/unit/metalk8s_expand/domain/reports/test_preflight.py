"""The text of a preflight fits into a terminal, and shows what several hosts share once."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.reports import preflight
from metalk8s_expand.domain.reports.terminal.document import HEIGHT, WIDTH, text_of
from metalk8s_expand.errors import UnreachableError


def finding(
    node: str = "w-1", check: str = "ports", severity: str = "error", **texts: str
) -> dict[str, str]:
    return {"node": node, "check": check, "found": "in use: 10250", "wanted": "free", "remedy": "ss --listening --tcp",
            "severity": severity, **texts}  # fmt: skip


def data(*findings: dict[str, str], **unreachable: UnreachableError) -> dict[str, Any]:
    hosts = dict.fromkeys([*(item["node"] for item in findings), *unreachable], "failed")
    return {
        "hosts": hosts,
        "findings": findings,
        "unreachable": {key: error.as_dict() for key, error in unreachable.items()},
    }


def shown(found: dict[str, Any], height: int | None = HEIGHT) -> str:
    return text_of(preflight.render_preflight(found), height=height)


def test_preflight_without_findings_is_one_line() -> None:
    assert shown({**data(), "hosts": {"a": "passed", "b": "passed"}}) == (
        "Preflight of 2 hosts: all hosts meet the requirements"
    )
    assert shown(data()).startswith("Preflight of no host")


def test_errors_come_first_and_hosts_of_one_cause_are_together() -> None:
    found = data(
        finding("a", "swap", "warning"), finding("a"), finding("a", "disk"), finding("b")
    )  # fmt: skip
    assert shown(found).splitlines() == [
        "Preflight of 2 hosts: 3 errors, 1 warning",
        "",
        "error a, b (2 hosts) ports: found in use: 10250, wanted free",
        "  do next: ss --listening --tcp",
        "error a disk: found in use: 10250, wanted free",
        "  do next: ss --listening --tcp",
        "warning a swap: found in use: 10250, wanted free",
        "  do next: ss --listening --tcp",
    ]


def test_hosts_whose_numbers_differ_show_one_example() -> None:
    found = data(*(finding(f"w-{n}", "memory", found=f"{n} GiB", remedy="") for n in range(1, 9)))
    assert shown(found).splitlines()[2] == (
        "error w-[1-8] (8 hosts), such as w-1 memory: found 1 GiB, wanted free"
    )


def test_unknown_fact_is_one_line_with_number_of_hosts() -> None:
    texts = {"found": "the host has no product_uuid", "remedy": "compare by hand"}
    found = data(*(finding(name, "product-uuid", "unknown", **texts) for name in ("a", "b")))
    assert shown(found).splitlines() == [
        "Preflight of 2 hosts: 2 unknown",
        "",
        "Unknown, neither passed nor failed:",
        "- product-uuid is unknown on 2 nodes (a, b): the host has no product_uuid;",
        "  compare by hand",
    ]


def test_unknown_check_with_several_reasons_is_one_line_with_example() -> None:
    found = [
        finding(name, "dns", "unknown", found=f"why {name}", remedy="look") for name in "abcdefg"
    ]
    assert preflight.unknown_lines(found) == [
        "dns is unknown on 7 nodes (a, b, c, d, e, …): on a, why a; look"
    ]


def test_unreachable_host_has_cause_and_remedy() -> None:
    found = data(gone=UnreachableError("connection refused", hint="start sshd", log="/log"))
    assert shown(found).splitlines() == [
        "Preflight of 1 host: 1 host unreachable",
        "",
        "Unreachable:",
        "  gone: connection refused",
        "    do next: start sshd",
        "    log: /log",
    ]


def test_fleet_that_does_not_answer_is_one_cause() -> None:
    errors = {
        f"worker-{n:03}": UnreachableError(
            f"SSH to 10.0.{n // 200}.{n % 200} port 22: no answer within 10 s",
            hint=f"check the address: salt-run metalk8s_expand.check_ssh worker-{n:03}",
        )
        for n in range(1, 301)
    }
    assert shown(data(**errors)).splitlines() == [
        "Preflight of 300 hosts: 300 hosts unreachable",
        "",
        "Unreachable:",
        "  worker-[001-300] (300 hosts), such as worker-001: SSH to 10.0.0.1 port 22: no",
        "    answer within 10 s",
        "    do next: check the address: salt-run metalk8s_expand.check_ssh worker-001",
    ]


def test_line_breaks_in_facts_do_not_break_lines() -> None:
    assert "found a b c, wanted" in shown(data(finding(found="a\n\tb\r\nc")))


@pytest.mark.parametrize("length", [10, 40, 200])
def test_preflight_with_long_texts_fits_into_terminal(length: int) -> None:
    texts = {
        key: " ".join([f"{key}{number}" for number in range(length)])
        for key in ("found", "wanted", "remedy")
    }
    error = UnreachableError("why " * length, hint="x" * length, log="log " * length)
    found = data(
        finding(f"{'n' * 63}", **texts), finding("b", "mac", "unknown", **texts), gone=error
    )
    text = shown(found, height=None)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(word in text for words in texts.values() for word in words.split())
    assert len(shown(found).splitlines()) <= HEIGHT
