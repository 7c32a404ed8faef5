"""Saved reports: the page beside each, and ``report`` in its formats."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalk8s_expand.clients.salt import cache
from metalk8s_expand.commands import reports
from metalk8s_expand.commands.context import CommandContext
from metalk8s_expand.domain.reports.page.render import render_page
from metalk8s_expand.errors import SettingsError
from tests.fakes import run_reports


def context(tmp_path: Path, **opts: Any) -> CommandContext:
    """Return the context of a command that reads files of the master only."""
    unused: Any = None
    options = {"cachedir": str(tmp_path), **opts}
    return CommandContext(options, unused, unused, unused, unused, unused)


def save(ctx: CommandContext, report: dict[str, Any]) -> dict[str, Any]:
    """Save a report as the active run does."""
    run: Any = SimpleNamespace(cluster=SimpleNamespace(opts=ctx.opts), exit_code={})
    saved = reports.save_report(run, report)
    assert run.exit_code == {"retcode": report["retcode"]}
    return saved


def test_run_leaves_a_page_beside_its_report(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    saved = save(ctx, run_reports.expansion())
    page, log = Path(saved["page"]), Path(saved["log"])
    assert (page.parent, page.name) == (log.parent, "report-20261129090824.html")
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.read_text(encoding="utf-8") == render_page(run_reports.expansion())
    assert json.loads(log.read_text(encoding="utf-8"))["page"] == str(page)
    assert list(cache.reports_by_run(ctx.opts)) == ["20261129090824"]


def test_page_compares_with_earlier_runs_of_the_same_function(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    for day, report in ((1, run_reports.removal()), (2, run_reports.expansion())):
        cache.save_report(ctx.opts, {**report, "id": f"2026110{day}000000"})
    (cache.directory(ctx.opts) / "report-20261103000000.json").write_text("no JSON")
    cache.save_report(ctx.opts, {**run_reports.expansion(), "id": "20271104000000"})
    text = Path(save(ctx, run_reports.failed())["page"]).read_text(encoding="utf-8")
    assert "2026-11-02 00:00:00 UTC" in text
    assert "2026-11-01" not in text
    assert "2027-11-04" not in text


def test_page_that_cannot_be_written_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "save_page", fail)
    ctx = context(tmp_path)
    saved = save(ctx, run_reports.expansion())
    assert "page" not in saved
    [note] = [note for note in saved["notes"] if "page of the report was not written" in note]
    assert "No space left on device" in note
    assert note in reports.report(ctx, None)["notes"]  # type: ignore[index]


def test_newest_pages_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT_PAGES", 2)
    for run in ("3", "1", "2", "4"):
        cache.save_page({"cachedir": str(tmp_path)}, run, "page")
    kept = sorted(path.name for path in cache.directory({"cachedir": str(tmp_path)}).iterdir())
    assert kept == ["report-3.html", "report-4.html"]


@pytest.mark.parametrize("opts", [{}, {"__cli": "salt-run"}])
def test_report_returns_path_and_content_of_the_page(tmp_path: Path, opts: dict[str, Any]) -> None:
    ctx = context(tmp_path, **opts)
    cache.save_report(ctx.opts, run_reports.removal())
    path = str(cache.page_path(ctx.opts, "20261130010000"))
    key = "text" if opts else "page"
    assert reports.report(ctx, None, "html") == {key: path}
    assert reports.report(ctx, None, "html", content=True) == render_page(run_reports.removal())
    assert Path(path).is_file()


def test_trace_is_json_on_a_terminal_and_for_programs(tmp_path: Path) -> None:
    cache.save_report({"cachedir": str(tmp_path)}, run_reports.failed())
    data = reports.report(context(tmp_path), None, "trace")
    text = reports.report(context(tmp_path, __cli="salt-run"), None, "trace")
    assert json.loads(str(text)) == data
    assert data["displayTimeUnit"] == "ms"  # type: ignore[index]


@pytest.mark.parametrize(
    ("form", "content", "problem"),
    [("pdf", False, "format is 'pdf': write text, html or trace"),
     ("trace", True, "content=True needs format=html"), ("html", "no", "content is 'no'")],
)  # fmt: skip
def test_wrong_format_is_refused(tmp_path: Path, form: str, content: Any, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        reports.report(context(tmp_path), None, form, content)
    assert problem in str(caught.value)
