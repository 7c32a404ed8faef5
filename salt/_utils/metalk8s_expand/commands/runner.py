"""Combine all runner functions in one class."""

from __future__ import annotations

from metalk8s_expand.commands.expand import Changing
from metalk8s_expand.commands.preflight import Looking
from metalk8s_expand.commands.status import Condition


class Commands(Looking, Condition, Changing):
    """One call of a runner function, with the master's configuration."""
