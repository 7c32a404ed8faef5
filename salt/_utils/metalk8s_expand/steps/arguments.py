"""The arguments of commands as they come from a command line: named nodes, the node that they describe, times."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metalk8s_expand.domain import settings
from metalk8s_expand.domain.settings import Settings
from metalk8s_expand.errors import SettingsError

Names = str | Iterable[str] | None


def command(names: Sequence[str] | None, overrides: Mapping[str, Any] | None) -> str:
    """What goes on after a failure, as it is typed."""
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (overrides or {}).items()]
    if names and (overrides or len(names) == 1):
        return shlex.join(["salt-run", "metalk8s_expand.add_node", *names, *words])
    return shlex.join(["salt-run", "metalk8s_expand.expand", *([f"nodes={','.join(names)}"] if names else [])])


def seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise SettingsError(f"{name} is {value!r}", hint="write a number of seconds, 0 or more")
    return value


def names(nodes: Names) -> tuple[str, ...] | None:
    if nodes is None:
        return None
    # Salt makes a number of a name of digits only.
    items = nodes if isinstance(nodes, (list, tuple, set)) else str(nodes).split(",")
    return tuple(str(item).strip() for item in items)


def with_node(declared: Settings, names: Sequence[str] | None, overrides: Mapping[str, Any] | None) -> Settings:
    """With the one node that is given by arguments and not by the pillar, if any."""
    if not overrides:
        return declared
    if names is None or len(names) != 1:
        raise SettingsError(
            "these arguments describe one node: " + ", ".join(overrides), hint="name one node, or leave them out"
        )
    return settings.with_node(declared, names[0], overrides)
