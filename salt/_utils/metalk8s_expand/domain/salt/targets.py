"""Match Salt targets with nodes: whole names, and roles as nodegroups.

salt-ssh has no compound targets.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from metalk8s_expand.domain.node import roles
from metalk8s_expand.errors import SettingsError

WILDCARDS = re.compile(r"[*?\[]")

Target: TypeAlias = str | Iterable[str]
# Maps the name of each known node to its roles.
Known: TypeAlias = Mapping[str, tuple[str, ...]]


def exact_names(tgt: Target, tgt_type: str) -> tuple[str, ...]:
    """Return the literal names of the target; () for a pattern."""
    if tgt_type == "list":
        return tuple(dict.fromkeys(_items(tgt)))
    literal = tgt_type == "glob" and isinstance(tgt, str) and not WILDCARDS.search(tgt)
    return (str(tgt),) if literal else ()


def matching(tgt: Target, tgt_type: str, known: Known, groups: Mapping[str, Any]) -> list[str]:
    """Return the names that a target selects, literal names even if unknown.

    Raise SettingsError if the target is invalid.
    """
    if tgt_type == "list" or exact_names(tgt, tgt_type):
        return list(exact_names(tgt, tgt_type))
    matches = _matcher(str(tgt), tgt_type, known, groups)
    return [name for name in known if matches(name)]


def _matcher(
    tgt: str, tgt_type: str, known: Known, groups: Mapping[str, Any]
) -> Callable[[str], object]:
    if tgt_type == "glob":
        return lambda name: fnmatch.fnmatchcase(name, tgt)
    if tgt_type == "pcre":
        # Salt's -E anchors a pattern at the start only.
        return _pattern(tgt).match
    if tgt_type == "nodegroup":
        return _group(tgt, known, groups).__contains__
    raise SettingsError(
        f"the roster cannot match {tgt!r} as {tgt_type!r}", hint="use glob, list, pcre or nodegroup"
    )


def _pattern(tgt: str) -> re.Pattern[str]:
    try:
        return re.compile(tgt)
    except re.error as error:
        raise SettingsError(
            f"the target {tgt!r} is not a regular expression: {error}",
            hint="correct the expression",
        ) from error


def _group(tgt: str, known: Known, groups: Mapping[str, Any]) -> set[str]:
    """Return the nodes of a nodegroup, or of the role with that name.

    A nodegroup of the master's configuration (a list, or 'L@a,b') takes precedence.
    """
    if tgt in groups:
        return set(_group_items(tgt, groups[tgt]))
    if tgt not in roles.KNOWN:
        hint = f"add it to ssh_list_nodegroups, or use a role: {', '.join(roles.KNOWN)}"
        raise SettingsError(f"there is no nodegroup {tgt!r}", hint=hint)
    return {name for name, own in known.items() if tgt in own}


def _group_items(tgt: str, group: Any) -> list[str]:
    items = _items(group.removeprefix("L@") if isinstance(group, str) else group)
    compound = [item for item in items if re.search(r"[\s()@]", item)]
    if compound:
        hint = "salt-ssh supports only lists: write names into ssh_list_nodegroups"
        raise SettingsError(
            f"the nodegroup {tgt!r} is a compound expression: {compound[0]!r}", hint=hint
        )
    return items


def _items(names: Target) -> list[str]:
    items = names.split(",") if isinstance(names, str) else names
    stripped = (str(item).strip() for item in items)
    return [name for name in stripped if name]
