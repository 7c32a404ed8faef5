"""The registry of preflight checks and the result of a check.

``@check`` registers a function under its own name, with ``a_b`` as ``a-b``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metalk8s_expand.domain.preflight.checks.context import CheckContext

ERROR, WARNING, UNKNOWN = "error", "warning", "unknown"


@dataclass(frozen=True)
class CheckFailure:
    """The result of a failed check: what was found, what was wanted, and the remedy."""

    found: str
    wanted: str
    remedy: str
    severity: str = ERROR


Check = Callable[[CheckContext], "CheckFailure | None"]

CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Register a function as a preflight check.

    The function returns None if the check passes. It raises FactUnknown if a fact is missing.
    ValueError if a check of this name is already registered.
    """
    name = function.__name__.replace("_", "-")
    if name in CHECKS:
        raise ValueError(f"two preflight checks are called {name}")
    CHECKS[name] = function
    return function
