"""Read a mapping of the declaration key by key and note every problem with its path."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from metalk8s_expand.domain.parsing.scalars import Invalid
from metalk8s_expand.errors import Problem

Problems = list[Problem]
T = TypeVar("T")
D = TypeVar("D")


class Reader:
    """A mapping at a path; each key that the caller never takes is an unknown key."""

    def __init__(self, value: object, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._items = value if isinstance(value, Mapping) else {}
        self._known: set[str] = set()
        if not isinstance(value, Mapping):
            self.note(path, value, "is not a mapping", "write keys and values below it")

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __getitem__(self, key: str) -> object:
        return self._items.get(key)

    def at(self, key: object) -> str:
        return f"{self.path}:{key}"

    def note(self, path: str, value: object, message: str, remedy: str) -> None:
        self.problems.append(Problem(path, value, message, remedy))

    def take(self, key: str, parse: Callable[[object], T], default: D) -> T | D:
        """Return the parsed value; the default if the key is absent or its value is invalid."""
        self._known.add(key)
        if key not in self._items:
            return default
        return self.attempt(self.at(key), self._items[key], parse, default)

    def attempt(self, path: str, value: object, parse: Callable[[object], T], default: D) -> T | D:
        try:
            return parse(value)
        except Invalid as error:
            self.note(path, value, error.message, error.remedy)
            return default

    def section(self, key: str) -> Reader:
        """Return the reader of the mapping below a key; it is empty if the key is absent."""
        self._known.add(key)
        return Reader(self._items.get(key, {}), self.at(key), self.problems)

    def items(self, parse_key: Callable[[object], str]) -> dict[str, object]:
        """Return the entries of a mapping with free keys, without those with an invalid key."""
        accepted: dict[str, object] = {}
        for key, value in self._items.items():
            name = self.attempt(self.at(key), key, parse_key, None)
            if name is not None:
                accepted[name] = value
        return accepted

    def take_list(self, key: str, parse: Callable[[object], T]) -> tuple[T, ...]:
        """Return the parsed items of a list without invalid items; () if the key is absent."""
        self._known.add(key)
        items = self._items.get(key, [])
        if not isinstance(items, (list, tuple)):
            self.note(self.at(key), items, "is not a list", "write a list, one item per '-'")
            return ()
        parsed: list[T] = []
        for index, item in enumerate(items):
            value = self.attempt(f"{self.at(key)}:{index}", item, parse, None)
            if value is not None:
                parsed.append(value)
        self._refuse_repeats(key, items)
        return tuple(parsed)

    def finish(self) -> None:
        """Note a problem for each key that the caller did not take."""
        for key in self._items:
            if key not in self._known:
                self.note(
                    self.at(key), key, "is an unknown key", suggestion(key, sorted(self._known))
                )

    def _refuse_repeats(self, key: str, items: Iterable[object]) -> None:
        seen: list[object] = []
        for item in items:
            if item in seen:
                self.note(self.at(key), item, "appears twice", "keep one of them")
            seen.append(item)


def suggestion(word: object, known: Iterable[str]) -> str:
    """Return a remedy: the closest known word, if any, and all known words."""
    choices = list(known)
    close = difflib.get_close_matches(str(word), choices, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}known: {', '.join(choices) or 'none'}"
