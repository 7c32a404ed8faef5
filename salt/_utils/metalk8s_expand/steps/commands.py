"""All functions of the runner, in one value."""

from __future__ import annotations

from metalk8s_expand.steps.changing import Changing
from metalk8s_expand.steps.condition import Condition
from metalk8s_expand.steps.looking import Looking


class Commands(Looking, Condition, Changing):
    """One call of a runner function, with the master's configuration."""
