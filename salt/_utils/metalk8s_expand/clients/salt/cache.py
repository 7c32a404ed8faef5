"""What is remembered on the master, in files below its cache directory: reports, plans, the host keys of declarations."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "metalk8s_expand"
# A plan is kept to tell later what has moved since; one of thousands of nodes has some megabytes.
KEPT_PLANS = 10


def path(opts: Mapping[str, Any]) -> Path:
    """The directory, which need not be there yet."""
    return Path(str(opts["cachedir"])) / NAME


def directory(opts: Mapping[str, Any]) -> Path:
    """The directory, readable by its user only."""
    found = path(opts)
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def save_report(opts: Mapping[str, Any], report: Mapping[str, Any]) -> Path:
    """Keep a report as JSON; its path."""
    return _write(
        directory(opts) / f"report-{report['id']}.json",
        json.dumps(report, indent=1, sort_keys=True, default=str),
    )


def reports(opts: Mapping[str, Any]) -> list[Path]:
    """The kept reports, oldest first."""
    return sorted(directory(opts).glob("report-*.json"))


def save_plan(opts: Mapping[str, Any], plan: Mapping[str, Any]) -> Path:
    """Keep a plan under its digest, and no more than the newest few."""
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
    """The plan whose digest is or begins with this, or None when it is not kept (any more), or several are."""
    found = list(directory(opts).glob(f"plan-{digest}*.json")) if digest.isalnum() else []
    return dict(json.loads(found[0].read_text(encoding="utf-8"))) if len(found) == 1 else None


def keep(folder: str, name: str, text: str) -> str:
    """The path of the file ``name`` in a folder with this text; it is written only when it says otherwise."""
    found = Path(folder) / name
    if not found.is_file() or found.read_text(encoding="utf-8") != text:
        # Each by itself: what is made on the way to it would be open to all.
        for each in (found.parent.parent, found.parent):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(found, text)
    return str(found)


def _write(target: Path, text: str) -> Path:
    """All of it or nothing: others may read it at the same time."""
    handle, written = tempfile.mkstemp(prefix=".", dir=target.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(written, target)
    return target
