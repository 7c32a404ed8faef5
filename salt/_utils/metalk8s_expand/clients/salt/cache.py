"""Files below the master's cache directory: reports, plans and the host keys of declarations."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "metalk8s_expand"
# A later run compares its facts with a stored plan. A plan of thousands of nodes has some
# megabytes, so the number is limited.
KEPT_PLANS = 10
# A page can be made again from its report, and has up to two megabytes.
KEPT_PAGES = 50


def path(opts: Mapping[str, Any]) -> Path:
    """Return the path of the directory, which may not exist yet."""
    return Path(str(opts["cachedir"])) / NAME


def directory(opts: Mapping[str, Any]) -> Path:
    """Create the directory, readable by its user only, and return it."""
    folder = path(opts)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def save_report(opts: Mapping[str, Any], report: Mapping[str, Any]) -> Path:
    """Store a report as JSON and return its path."""
    return _write(
        directory(opts) / f"report-{report['id']}.json",
        json.dumps(report, indent=1, sort_keys=True, default=str),
    )


def page_path(opts: Mapping[str, Any], run: str) -> Path:
    """Return the path of the page of a run, which may not exist."""
    return path(opts) / f"report-{run}.html"


def save_page(opts: Mapping[str, Any], run: str, page: str) -> Path:
    """Store the page of a run beside its report, keep the newest pages, and return its path."""
    kept = _write(directory(opts) / page_path(opts, run).name, page)
    for old in sorted(directory(opts).glob("report-*.html"))[:-KEPT_PAGES]:
        if old != kept:
            old.unlink(missing_ok=True)
    return kept


def reports(opts: Mapping[str, Any]) -> list[Path]:
    """Return the stored reports, oldest first."""
    return sorted(directory(opts).glob("report-*.json"))


def reports_by_run(opts: Mapping[str, Any]) -> dict[str, Path]:
    """Return the stored reports by the ID of their run, oldest first."""
    return {path.stem.removeprefix("report-"): path for path in reports(opts)}


def load_report(path: Path) -> dict[str, Any] | None:
    """Return a stored report, or None if it is not readable."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def save_plan(opts: Mapping[str, Any], plan: Mapping[str, Any]) -> Path:
    """Store a plan under its digest, keep the newest ``KEPT_PLANS`` plans, and return its path."""
    kept = _write(
        directory(opts) / f"plan-{plan['digest']}.json",
        json.dumps(plan, sort_keys=True, default=str),
    )
    newest = sorted(
        directory(opts).glob("plan-*.json"), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for old in newest[KEPT_PLANS:]:
        old.unlink(missing_ok=True)
    return kept


def load_plan(opts: Mapping[str, Any], digest: str) -> dict[str, Any] | None:
    """Return the plan whose digest begins with this.

    Return None when no stored plan matches or several do.
    """
    if not digest.isalnum():
        return None
    matches = list(directory(opts).glob(f"plan-{digest}*.json"))
    if len(matches) != 1:
        return None
    return dict(json.loads(matches[0].read_text(encoding="utf-8")))


def configuration_directory(opts: Mapping[str, Any]) -> Path:
    """Return the project's directory beside the master's configuration, which survives a restart.

    Creates it, for its user only.
    """
    directory = Path(opts.get("conf_file") or "/etc/salt/master").parent / "metalk8s-expand"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def keep(folder: str, name: str, text: str) -> str:
    """Return the path of the file ``name`` in a folder; write it only when its text differs."""
    file = Path(folder) / name
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        # ``parents=True`` ignores the mode for parent directories, so each is created by itself.
        for parent in (file.parent.parent, file.parent):
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, text)
    return str(file)


def _write(target: Path, text: str) -> Path:
    """Write a file atomically: other processes may read it at the same time."""
    handle, written = tempfile.mkstemp(prefix=".", dir=target.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(written, target)
    return target
