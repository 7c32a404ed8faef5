"""The table of a preflight fits into a terminal and shows every finding in full."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.reports import preflight
from metalk8s_expand.errors import UnreachableError

COLUMNS = 120
SALTS_INDENT = 4


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


def test_preflight_without_findings_is_one_line() -> None:
    assert preflight.render_preflight({**data(), "hosts": {"a": "passed", "b": "passed"}}) == (
        "preflight of 2 hosts: all hosts meet the requirements"
    )
    assert preflight.render_preflight(data()).startswith("preflight of no host")


def test_errors_come_first_and_host_is_named_once() -> None:
    shown = preflight.render_preflight(
        data(
            finding("a", "swap", "warning"),
            finding("a", "ports"),
            finding("a", "disk"),
            finding("b", "ports"),
        )
    )
    assert [line.split()[:3] for line in shown.splitlines()[2:]] == [
        ["host", "severity", "check"],
        ["a", "error", "ports"],
        ["error", "disk", "in"],
        ["b", "error", "ports"],
        ["a", "warning", "swap"],
    ]
    assert shown.splitlines()[0] == "preflight of 2 hosts: 3 errors, 1 warning"


def test_row_of_finding_has_every_cell() -> None:
    last = preflight.render_preflight(data(finding())).splitlines()[-1]
    assert last == "w-1   error     ports  in use: 10250  free    ss --listening --tcp"


def test_unknown_fact_is_one_line_with_number_of_hosts() -> None:
    texts = {"found": "the host has no product_uuid", "remedy": "compare by hand"}
    shown = preflight.render_preflight(
        data(*(finding(name, "product-uuid", "unknown", **texts) for name in ("a", "b")))
    )
    assert shown.splitlines() == [
        "preflight of 2 hosts: 2 unknown",
        "",
        "Unknown, neither passed nor failed:",
        "- product-uuid is unknown on 2 nodes (a, b): the host has no product_uuid; compare by hand",
    ]


def test_unknown_check_with_several_reasons_is_one_line_with_example() -> None:
    found = [
        finding(name, "dns", "unknown", found=f"why {name}", remedy="look") for name in "abcdefg"
    ]
    assert preflight.unknown_lines(found) == [
        "dns is unknown on 7 nodes (a, b, c, d, e, …): on a, why a; look"
    ]


def test_unreachable_host_has_cause_and_remedy() -> None:
    shown = preflight.render_preflight(
        data(gone=UnreachableError("connection refused", hint="start sshd", log="/log"))
    )
    assert shown.splitlines() == [
        "preflight of 1 host: 1 host unreachable",
        "",
        "Unreachable:",
        "  gone: connection refused",
        "    do next: start sshd",
        "    log: /log",
    ]


def test_line_breaks_in_facts_do_not_break_table() -> None:
    shown = preflight.render_preflight(data(finding(found="a\n\tb\r\nc")))
    assert "a b c" in shown.splitlines()[-1]


@pytest.mark.parametrize("length", [10, 40, 200, 2000])
def test_preflight_with_long_texts_fits_into_terminal(length: int) -> None:
    texts = {
        key: " ".join([f"{key}{number}" for number in range(length)])
        for key in ("found", "wanted", "remedy")
    }
    error = UnreachableError("why " * length, hint="x" * length, log="log " * length)
    shown = preflight.render_preflight(
        data(finding(f"{'n' * 63}", **texts), finding("b", "mac", "unknown", **texts), gone=error)
    )
    assert max(map(len, shown.splitlines())) <= COLUMNS - SALTS_INDENT
    assert all(word in shown for text in texts.values() for word in text.split())


def test_short_columns_stay_whole_when_long_ones_wrap() -> None:
    shown = preflight.render_preflight(
        data(finding("cp-1", "etcd-peers", remedy="open the port " * 20))
    )
    assert "cp-1  error     etcd-peers  in use: 10250  free" in shown
    assert all("open the port" in line for line in shown.splitlines()[3:6])


def test_paths_and_identities_stay_whole_while_other_columns_shrink() -> None:
    texts = {
        "found": f"{'a' * 32}, as bootstrap",
        "remedy": "reset the host, or remove what is left of it; " * 3,
    }
    shown = preflight.render_preflight(
        data(finding("worker-1", "machine-id", wanted="a unique one", **texts))
    )
    assert f"{'a' * 32}," in shown
    assert max(map(len, shown.splitlines())) <= COLUMNS - SALTS_INDENT
