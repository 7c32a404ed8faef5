"""The arguments of commands as they come from a command line or a pillar: what is asked for, flags, times, digests."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from metalk8s_expand.domain.declaration import selection, settings
from metalk8s_expand.domain.declaration.selection import Selection
from metalk8s_expand.domain.declaration.settings import WRONG_ARGUMENTS, Settings
from metalk8s_expand.errors import Problem, SettingsError

Names = str | Iterable[str] | None

# Of 64 characters; a shorter beginning would soon be that of some other plan.
SHORTEST_DIGEST = 8
_DIGEST = re.compile(rf"[0-9a-f]{{{SHORTEST_DIGEST},64}}")


@dataclass(frozen=True)
class ExpandRequest:
    """What a plan or an expansion is asked for.

    ``overrides`` declare the one node that is named, when the pillar does not; ``max_parallel`` counts for this run alone.
    """

    selection: Selection = field(default_factory=Selection)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    max_parallel: Any = None

    @classmethod
    def of(
        cls,
        nodes: object = None,
        profiles: object = None,
        overrides: Mapping[str, Any] | None = None,
        max_parallel: object = None,
    ) -> ExpandRequest:
        """From a runner's arguments."""
        return cls(selection.parse(nodes, profiles), overrides or {}, max_parallel)

    def again(self, before: Mapping[str, Any] | None) -> ExpandRequest:
        """With what the kept plan was asked for, where it is not said anew: its nodes, and not what a glob matches now."""
        if before is None:
            return self
        parallel = before.get("max_parallel") if self.max_parallel is None else self.max_parallel
        named = self.selection != Selection()
        asked = (
            self
            if named
            else ExpandRequest.of(before["asked"], overrides=before.get("declaration"))
        )
        return replace(asked, max_parallel=parallel)

    def settled(self, declared: Settings) -> tuple[Settings, tuple[str, ...] | None]:
        """The settings that this is done with, and the names; None for all that is declared."""
        wider = settings.with_max_parallel(
            with_node(declared, self.selection.single, self.overrides), self.max_parallel
        )
        return wider, self.selection.resolved(wider)

    def kept(self, names: tuple[str, ...] | None) -> dict[str, Any]:
        """What a kept plan remembers of it, for ``again``."""
        return {
            "asked": names,
            "max_parallel": self.max_parallel,
            "declaration": dict(self.overrides),
        }

    def command(self) -> str:
        """What goes on after a failure, as it is typed."""
        given = (
            self.overrides
            if self.max_parallel is None
            else {**self.overrides, "max_parallel": self.max_parallel}
        )
        words = [
            f"{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in given.items()
        ]
        if self.selection.single and self.max_parallel is None:
            return shlex.join(
                ["salt-run", "metalk8s_expand.add_node", self.selection.single, *words]
            )
        return shlex.join(["salt-run", "metalk8s_expand.expand", *self.selection.words(), *words])


def one(node: object, overrides: Mapping[str, Any] | None = None) -> ExpandRequest:
    """One node by its name. SettingsError for what names none, or several."""
    found = ExpandRequest.of([node], overrides=overrides)
    if found.selection.single is None:
        problem = Problem(
            "node", node, "is a glob", "write the name of one node; expand takes globs"
        )
        raise SettingsError(WRONG_ARGUMENTS, problems=[problem])
    return found


def with_node(declared: Settings, name: str | None, overrides: Mapping[str, Any]) -> Settings:
    """With the one node that is given by arguments and not by the pillar, if any."""
    if not overrides:
        return declared
    if name is None:
        hint = "name one node, or leave them out"
        if "profile" in overrides:
            hint += f"; declared nodes are chosen by profiles={overrides['profile']}"
        raise SettingsError("these arguments describe one node: " + ", ".join(overrides), hint=hint)
    return settings.with_node(declared, name, overrides)


def seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise SettingsError(f"{name} is {value!r}", hint="write a number of seconds, 0 or more")
    return value


def flags(**given: object) -> None:
    """SettingsError naming those that are neither true nor false: ``no`` in quotes must not mean yes."""
    problems = [problem for name, value in given.items() for problem in flag_problems(name, value)]
    if problems:
        words = any(isinstance(value, str) for value in given.values())
        hint = "several nodes are one argument, with commas; a glob needs quotes, or the shell makes several of it"
        raise SettingsError(WRONG_ARGUMENTS, problems=problems, hint=hint if words else None)


def flag_problems(name: str, value: object) -> list[str]:
    return [] if isinstance(value, bool) else [f"{name} is {value!r}: write True or False"]


def digest(value: object) -> str | None:
    """How the digest of a plan begins, or None when there is none."""
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not _DIGEST.fullmatch(text):
        remedy = f"write at least the first {SHORTEST_DIGEST} characters of the digest that plan gives, in quotes"
        raise SettingsError(
            WRONG_ARGUMENTS,
            problems=[Problem("plan", value, "is not the digest of a plan", remedy)],
        )
    return text
