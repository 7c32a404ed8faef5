"""Reports of the runner."""

from __future__ import annotations

from typing import Any

REPORT: dict[str, Any] = {
    "id": "1",
    "ok": True,
    "retcode": 0,
    "elapsed": 1.0,
    "nodes": [],
    "notes": ["w-1: nothing to change"],
}

PLAN: dict[str, Any] = {
    "dry_run": True, "digest": "d", "waves": [], "control_plane": [], "workers": [], "unchanged": ["w-1"], "warnings": [],
    "refusal": None, "retcode": 0,
}  # fmt: skip


def planned(name: str, *steps: str, refused: str | None = None) -> dict[str, Any]:
    return {
        "node": name, "address": "a", "ssh": {"port": 22}, "profile": "worker", "roles": ["node"], "refused": refused, "problems": [], "changes": [],
        "steps": [{"name": step, "reason": "r"} for step in steps],
    }  # fmt: skip
