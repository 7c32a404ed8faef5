"""The steps of a plan, and the digest that identifies a plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step of a node's expansion and what it is for."""

    name: str
    purpose: str


@dataclass(frozen=True)
class PlannedStep:
    name: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "reason": self.reason}


def digest(content: Mapping[str, Any]) -> str:
    """The identity of a plan that says this, however it is written."""
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
