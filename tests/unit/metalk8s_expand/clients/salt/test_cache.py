"""Tests of the cache: files are complete and private, and old plans are deleted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.salt import cache


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    return {"cachedir": str(tmp_path)}


def test_plans_by_the_beginning_of_their_digest(opts: dict[str, Any]) -> None:
    cache.save_plan(opts, {"digest": "abc1", "asked": None})
    cache.save_plan(opts, {"digest": "abd2", "asked": ["w-1"]})
    assert cache.load_plan(opts, "abd") == {"digest": "abd2", "asked": ["w-1"]}
    assert cache.load_plan(opts, "ab") is None
    assert cache.load_plan(opts, "x") is None
    assert cache.load_plan(opts, "../plan-abc1") is None


def test_the_newest_plans_are_kept(opts: dict[str, Any]) -> None:
    for number in range(cache.KEPT_PLANS + 3):
        os.utime(cache.save_plan(opts, {"digest": f"d{number:03}"}), (number, number))
    cache.save_plan(opts, {"digest": "last"})
    kept = sorted(path.stem for path in cache.directory(opts).glob("plan-*.json"))
    assert len(kept) == cache.KEPT_PLANS
    assert ("plan-last" in kept, "plan-d000" in kept) == (True, False)


def test_file_is_written_only_when_text_differs(tmp_path: Path) -> None:
    path = Path(cache.keep(str(tmp_path / "new" / "keys"), "n", "one\n"))
    os.utime(path, (1, 1))
    cache.keep(str(tmp_path / "new" / "keys"), "n", "one\n")
    assert path.stat().st_mtime == 1
    cache.keep(str(tmp_path / "new" / "keys"), "n", "two\n")
    assert (path.read_text(), list(path.parent.iterdir())) == ("two\n", [path])
    assert [each.stat().st_mode & 0o077 for each in (path, *path.parents[:2])] == [0, 0, 0]
