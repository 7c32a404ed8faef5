"""Define the steps of a plan and the digest that identifies a plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step of a node's expansion and its purpose."""

    name: str
    purpose: str


@dataclass(frozen=True)
class PlannedStep:
    name: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "reason": self.reason}


def planned_steps(steps: Iterable[Step], reasons: Mapping[str, str]) -> tuple[PlannedStep, ...]:
    """Return the steps that have a reason, in their order."""
    planned = []
    for step in steps:
        if step.name in reasons:
            planned.append(PlannedStep(step.name, reasons[step.name]))
    return tuple(planned)


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a plan's content, independent of the order of its keys."""
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
