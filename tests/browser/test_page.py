"""The page of a run in Chromium: a clean console, no request, no accessibility problem, no overflow.

``PICTURES=DIRECTORY`` keeps a picture of each page there, and the printed page as PDF.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.domain.reports.earlier_runs import digest_of
from metalk8s_expand.domain.reports.page.render import render_page
from tests.browser import axe, chromium
from tests.browser.chromium import Tab
from tests.fakes import run_reports

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(chromium.program() is None, reason="Chromium is absent: make browser"),
]

DESKTOP, PHONE, A4 = 1200, 390, 700
OPEN = "document.querySelectorAll('details').forEach(part => { part.open = true })"
CHECK = """axe.run(document, {resultTypes: ['violations']}).then(result => result.violations.map(
    item => [item.id, item.help, item.nodes.slice(0, 3).map(node => node.html.slice(0, 200))]))"""
# The widest element outside of tables, which the reader scrolls by themselves.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def hostile() -> dict[str, Any]:
    """Return a report whose names and texts are HTML."""
    stored = json.dumps(run_reports.failed())
    for name in ("worker-1", "cp-2", "SIGTERM", "/snapshots/etcd-1.db"):
        stored = stored.replace(name, "<script>document.title = 1</script><img src=x onerror=x()>")
    report: dict[str, Any] = json.loads(stored)
    return report


REPORTS = {
    "four": run_reports.expansion,
    "failed": run_reports.failed,
    "stopped": run_reports.stopped,
    "removal": run_reports.removal,
    "fleet": run_reports.fleet,
    "hostile": hostile,
}


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def checker() -> str:
    return axe.script()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the page of each report, compared with earlier runs."""
    folder = tmp_path_factory.mktemp("pages")
    earlier = []
    for day, report in enumerate((run_reports.expansion(), run_reports.failed()), 1):
        earlier.append({**digest_of(report), "id": f"2026110{day}000000"})
    paths = {}
    for name, made in REPORTS.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(render_page(made(), earlier), encoding="utf-8")
    return paths


def keep(tab: Tab, name: str) -> None:
    """Keep a picture of the page if the caller wants pictures."""
    folder = os.environ.get("PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.screenshot(Path(folder) / f"{name}.png")


@pytest.mark.parametrize(
    ("width", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)],
    ids=["desktop light", "desktop dark", "phone light", "phone dark"],
)  # fmt: skip
@pytest.mark.parametrize("name", REPORTS)
def test_page_has_no_error_and_no_accessibility_problem(
    tab: Tab, pages: dict[str, Path], checker: str, name: str, width: int, dark: bool
) -> None:
    tab.messages.clear()
    tab.requested.clear()
    tab.show(pages[name], width, dark)
    keep(tab, f"{name}-{width}{'-dark' if dark else ''}")
    assert tab.messages == []
    assert tab.requested == [pages[name].as_uri()]
    assert tab.evaluate(OVERFLOW) <= 0
    # The tables of a fleet have thousands of cells of one kind, which the checker reads one by one.
    if name != "fleet":
        tab.evaluate(OPEN)
        assert tab.evaluate(OVERFLOW) <= 0
    tab.evaluate(f"{checker}; 0")
    assert tab.evaluate(CHECK) == []


def test_page_of_a_fleet_is_ready_soon(tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(pages["fleet"], DESKTOP)
    spent = tab.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    # Milliseconds, on a machine that has other work as well.
    assert spent < 15_000


def test_names_of_hosts_run_nothing(tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(pages["hostile"], DESKTOP)
    assert tab.evaluate("document.querySelectorAll('script, img').length") == 0
    assert "Expansion" in tab.evaluate("document.title")
    assert "<script>document.title = 1</script>" in tab.evaluate("document.body.innerText")


def test_keyboard_reaches_every_part(tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(pages["failed"], DESKTOP)
    order = []
    for _ in range(12):
        for kind in ("rawKeyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                     windowsVirtualKeyCode=9)  # fmt: skip
        order.append(tab.evaluate("document.activeElement.innerText.split('\\n')[0]"))
    assert order[:7] == ["Skip to the result", "Failures", "Notes", "Cluster", "Timeline",
                         "Differences", "Earlier runs"]  # fmt: skip
    assert "The same facts as a table" in order


@pytest.mark.parametrize("name", ["failed", "fleet"])
def test_printed_page_fits_a4(tab: Tab, pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    tab.show(pages[name], A4, dark=True, media="print")
    assert tab.evaluate(OVERFLOW) <= 0
    # Ink on white also where the reader has a dark screen.
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    tab.pdf(folder / f"{name}.pdf")
    printed = (folder / f"{name}.pdf").read_bytes()
    assert b"/MediaBox [0 0 594.95996 841.91998]" in printed or b"/MediaBox [0 0 595" in printed
