"""Which nodes a Salt target means: whole names only, and roles as nodegroups, since salt-ssh has no compound targets."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from metalk8s_expand.domain.node import roles
from metalk8s_expand.errors import SettingsError

WILDCARDS = re.compile(r"[*?\[]")

Target: TypeAlias = str | Iterable[str]
# The roles of every known node, by its name.
Known: TypeAlias = Mapping[str, tuple[str, ...]]


def exact_names(tgt: Target, tgt_type: str) -> tuple[str, ...]:
    """The names that the target spells out; none for a pattern."""
    if tgt_type == "list":
        return tuple(dict.fromkeys(_items(tgt)))
    literal = tgt_type == "glob" and isinstance(tgt, str) and not WILDCARDS.search(tgt)
    return (str(tgt),) if literal else ()


def matching(tgt: Target, tgt_type: str, known: Known, groups: Mapping[str, Any]) -> list[str]:
    """The names that a target chooses; those it spells out whether known or not. SettingsError for a bad target."""
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
        # From the start and not to the end, as Salt's -E has it everywhere.
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
            f"the target {tgt!r} is not a regular expression: {error}", hint="correct it"
        ) from error


def _group(tgt: str, known: Known, groups: Mapping[str, Any]) -> set[str]:
    """A group of the master's configuration (a list, or 'L@a,b'), else the nodes of the role of that name."""
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
        hint = "salt-ssh knows lists only: write names into ssh_list_nodegroups"
        raise SettingsError(
            f"the nodegroup {tgt!r} is a compound expression: {compound[0]!r}", hint=hint
        )
    return items


def _items(names: Target) -> list[str]:
    items = names.split(",") if isinstance(names, str) else names
    return [name for item in items if (name := str(item).strip())]
