"""Where the checks are, and what one of them says. A function with ``@check`` is a check of its name, ``a_b`` being ``a-b``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metalk8s_expand.domain.preflight.checks.context import CheckContext

ERROR, WARNING, UNKNOWN = "error", "warning", "unknown"


@dataclass(frozen=True)
class CheckFailure:
    """What is wrong: what was found, what was wanted, and what to do."""

    found: str
    wanted: str
    remedy: str
    severity: str = ERROR


Check = Callable[[CheckContext], "CheckFailure | None"]

CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Make a function a check: None when all is well. What it cannot know it says by ``FactUnknown``."""
    name = function.__name__.replace("_", "-")
    if name in CHECKS:
        raise ValueError(f"two preflight checks are called {name}")
    CHECKS[name] = function
    return function
