"""Select declared nodes by name, glob and profile.

A selection that matches no node is an error.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metalk8s_expand.domain.declaration.settings import PILLAR, WRONG_ARGUMENTS, Settings
from metalk8s_expand.domain.parsing.reader import suggestion
from metalk8s_expand.errors import Problem, SettingsError

NODES, PROFILES = "nodes", "profiles"
HOW = "names, a list or comma separated, each a name or a glob in quotes"
PROFILES_HOW = "names of profiles, a list or comma separated"
# A command may name thousands of nodes; the text lists only the first.
SHOWN = 20


@dataclass(frozen=True)
class Selection:
    """Names, globs and profiles from the command; each narrows the selection unless it is None."""

    nodes: tuple[str, ...] | None = None
    profiles: tuple[str, ...] | None = None

    @property
    def single(self) -> str | None:
        """Return the only name of the selection, declared or not; None for any other selection."""
        if (
            self.nodes is None
            or len(self.nodes) != 1
            or self.profiles is not None
            or is_glob(self.nodes[0])
        ):
            return None
        return self.nodes[0]

    def resolved(self, declared: Settings) -> tuple[str, ...] | None:
        """Return the selected names in their declared order; None means all nodes.

        Raise SettingsError that lists every item that selects no node.
        """
        if self.nodes is None and self.profiles is None:
            return None
        problems = [
            *_unmatched(self.nodes or (), declared),
            *_unused(self.profiles or (), declared),
        ]
        if problems:
            unknown = []
            for problem in problems:
                if problem.path == f"{PILLAR}:nodes":
                    unknown.append(str(problem.value))
            raise SettingsError(
                _what(problems),
                node=", ".join(unknown) or None,
                problems=problems,
                hint=_hint(problems),
            )
        named = _named(self.nodes, declared)
        names = named
        if self.profiles is not None:
            names = [name for name in named if declared.nodes[name].profile in self.profiles]
        if not names:
            actual = []
            for name in named:
                profile = declared.nodes[name].profile or "not set"
                actual.append(f"the profile of {name} is {profile}")
            wanted = ",".join(self.profiles or ())
            message = "is not the profile of any selected node"
            raise SettingsError(
                "the profiles select no node",
                problems=[Problem(PROFILES, wanted, message, "; ".join(actual))],
            )
        return tuple(names)

    def words(self) -> list[str]:
        """Return the selection as unquoted command-line arguments."""
        given = ((NODES, self.nodes), (PROFILES, self.profiles))
        return [f"{key}={','.join(items)}" for key, items in given if items is not None]

    def __str__(self) -> str:
        """Describe the selection in one line."""
        nodes = self.nodes or ()
        words = list(nodes[:SHOWN])
        if len(nodes) > SHOWN:
            words.append(f"{len(nodes) - SHOWN} more")
        words += [f"profile {item}" for item in self.profiles or ()]
        return ", ".join(words) or "all declared nodes"


def parse(nodes: object = None, profiles: object = None) -> Selection:
    """Return the selection from the arguments of a command line or a pillar.

    Raise SettingsError that names each wrong argument.
    """
    problems: list[Problem] = []
    selection = Selection(
        _items(NODES, nodes, HOW, problems), _items(PROFILES, profiles, PROFILES_HOW, problems)
    )
    if problems:
        raise SettingsError(WRONG_ARGUMENTS, problems=problems)
    return selection


def is_glob(text: str) -> bool:
    """Return whether the text is a glob: node names never contain glob characters."""
    return any(character in text for character in "*?[")


def _items(key: str, given: object, how: str, problems: list[Problem]) -> tuple[str, ...] | None:
    """Return the items of one argument. Salt converts a name of digits to a number."""
    if given is None:
        return None
    listed = isinstance(given, (list, tuple, set))
    items: Iterable[object] = given if listed else str(given).split(",")  # type: ignore[assignment]
    if not listed and not _is_word(given):
        problems.append(Problem(key, given, "is not a name", f"write {how}"))
    elif listed and not given:
        problems.append(Problem(key, given, "is empty", f"write {how}, or omit it to select all"))
    if listed:
        for item in items:
            if not _is_word(item):
                problems.append(Problem(key, item, "is not a name", f"write {how}"))
    return tuple(dict.fromkeys(str(item).strip() for item in items))


def _is_word(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _named(patterns: Sequence[str] | None, declared: Settings) -> list[str]:
    """Return the declared names that match; only globs are compared with every name.

    A command may name thousands of nodes, so exact names use a set.
    """
    if patterns is None:
        return list(declared.nodes)
    exact, globs = frozenset(patterns), [pattern for pattern in patterns if is_glob(pattern)]
    names = []
    for name in declared.nodes:
        if name in exact or any(fnmatch.fnmatchcase(name, glob) for glob in globs):
            names.append(name)
    return names


def _unmatched(patterns: Sequence[str], declared: Settings) -> list[Problem]:
    path = f"{PILLAR}:nodes"
    problems = []
    for pattern in patterns:
        if is_glob(pattern) and not fnmatch.filter(declared.nodes, pattern):
            remedy = f"declared: {', '.join(declared.nodes) or 'none'}"
            problems.append(Problem(path, pattern, "matches no declared node", remedy))
        elif not is_glob(pattern) and pattern not in declared.nodes:
            remedy = suggestion(pattern, declared.nodes)
            problems.append(Problem(path, pattern, "is not declared", remedy))
    return problems


def _unused(profiles: Sequence[str], declared: Settings) -> list[Problem]:
    used = dict.fromkeys(node.profile for node in declared.nodes.values() if node.profile)
    known = declared.terms.profiles
    problems = []
    for item in profiles:
        if item in used:
            continue
        if item not in known:
            remedy = suggestion(item, known)
            problems.append(Problem(PROFILES, item, "is an unknown profile", remedy))
        else:
            remedy = f"used: {', '.join(used) or 'none'}"
            problems.append(Problem(PROFILES, item, "is the profile of no declared node", remedy))
    return problems


def _what(problems: Sequence[Problem]) -> str:
    if any(problem.path == PROFILES for problem in problems):
        return "the profiles select no node"
    if any(is_glob(str(problem.value)) for problem in problems):
        return "the names match no declared node"
    return f"the pillar does not declare {'this node' if len(problems) == 1 else 'these nodes'}"


def _hint(problems: Sequence[Problem]) -> str | None:
    files = any(str(problem.value).endswith((".yaml", ".yml")) for problem in problems)
    return (
        "put the glob into quotes, otherwise the shell expands it to file names" if files else None
    )
