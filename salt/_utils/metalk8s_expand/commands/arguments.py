"""Parse the arguments of commands from a command line or a pillar: nodes, flags, times, digests."""

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

# A digest has 64 characters. A shorter prefix would soon match the digest of a different plan.
SHORTEST_DIGEST = 8
_DIGEST = re.compile(rf"[0-9a-f]{{{SHORTEST_DIGEST},64}}")


@dataclass(frozen=True)
class ExpandRequest:
    """The nodes and settings that a caller requests for a plan or an expansion.

    ``overrides`` declare the one named node if the pillar does not declare it.
    ``max_parallel`` applies to this run only. ``redeploy`` deploys also nodes that are as declared.
    """

    selection: Selection = field(default_factory=Selection)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    max_parallel: Any = None
    redeploy: bool = False

    @classmethod
    def parse(
        cls,
        nodes: object = None,
        profiles: object = None,
        overrides: Mapping[str, Any] | None = None,
        max_parallel: object = None,
    ) -> ExpandRequest:
        """Return the request that a runner's arguments describe."""
        return cls(selection.parse(nodes, profiles), overrides or {}, max_parallel)

    def with_redeploy(self, redeploy: object) -> ExpandRequest:
        """Return this request with the flag ``redeploy``.

        Raises SettingsError if it is no flag, or set without a selection of nodes.
        """
        flags(redeploy=redeploy)
        if redeploy and self.selection == Selection():
            raise SettingsError(
                "redeploy=True deploys nodes again that are as declared, and needs their names",
                hint="name the nodes, or select them with profiles",
            )
        return replace(self, redeploy=bool(redeploy))

    def with_saved_plan(self, saved: Mapping[str, Any] | None) -> ExpandRequest:
        """Return this request, completed from a saved plan where a value is missing.

        The nodes are those of the saved plan, not those that a glob matches now.
        """
        if saved is None:
            return self
        max_parallel = saved.get("max_parallel") if self.max_parallel is None else self.max_parallel
        redeploy = self.redeploy or bool(saved.get("redeploy"))
        if self.selection != Selection():
            return replace(self, max_parallel=max_parallel, redeploy=redeploy)
        request = ExpandRequest.parse(
            saved["asked"], overrides=saved.get("declaration"), max_parallel=max_parallel
        )
        return replace(request, redeploy=redeploy)

    def resolve(self, declared: Settings) -> tuple[Settings, tuple[str, ...] | None]:
        """Return the settings for this request and the node names; None means all of them."""
        resolved = settings.with_max_parallel(
            with_node(declared, self.selection.single, self.overrides), self.max_parallel
        )
        return resolved, self.selection.resolved(resolved)

    def to_saved(self, names: tuple[str, ...] | None) -> dict[str, Any]:
        """Return the data that a saved plan keeps of this request, for ``with_saved_plan``."""
        return {
            "asked": names,
            "max_parallel": self.max_parallel,
            "declaration": dict(self.overrides),
            "redeploy": self.redeploy,
        }

    def command(self) -> str:
        """Return the command line that resumes this request after a failure."""
        arguments = dict(self.overrides)
        if self.max_parallel is not None:
            arguments["max_parallel"] = self.max_parallel
        if self.redeploy:
            arguments["redeploy"] = self.redeploy
        words = [
            f"{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in arguments.items()
        ]
        if self.selection.single and self.max_parallel is None:
            return shlex.join(
                ["salt-run", "metalk8s_expand.add_node", self.selection.single, *words]
            )
        return shlex.join(["salt-run", "metalk8s_expand.expand", *self.selection.words(), *words])


@dataclass(frozen=True)
class ExpandOptions:
    """How an expansion runs.

    ``skip_failed`` excludes hosts that fail the preflight. ``probe`` runs a smoke test Pod on each
    worker. ``digest`` is the start of the digest of the plan to run. ``wait_s`` are the seconds to
    wait for the lock. ``confirm`` asks the operator before the run.
    """

    skip_failed: bool = False
    probe: bool = False
    digest: str | None = None
    wait_s: float = 0.0
    dry_run: bool = False
    confirm: bool = False

    @classmethod
    def parse(
        cls,
        skip_failed: Any = False,
        probe: Any = False,
        plan: Any = None,
        wait_s: Any = 0.0,
        dry_run: Any = False,
    ) -> ExpandOptions:
        """Return the options that a runner's arguments describe. Raises SettingsError."""
        known = digest(plan)
        flags(skip_failed=skip_failed, probe=probe, dry_run=dry_run)
        return cls(skip_failed, probe, known, seconds("wait_s", wait_s), dry_run)

    def with_confirm(self, confirm: object) -> ExpandOptions:
        """Return these options with the flag ``confirm``. Raises SettingsError if it is no flag."""
        flags(confirm=confirm)
        return replace(self, confirm=bool(confirm))


def one(node: object, overrides: Mapping[str, Any] | None = None) -> ExpandRequest:
    """Return the request for one named node. Raise SettingsError for no name, a glob or a list."""
    request = ExpandRequest.parse([node], overrides=overrides)
    if request.selection.single is None:
        problem = Problem(
            "node", node, "is a glob", "write the name of one node; expand takes globs"
        )
        raise SettingsError(WRONG_ARGUMENTS, problems=[problem])
    return request


def with_node(declared: Settings, name: str | None, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings with the node that the arguments, not the pillar, declare, if any."""
    if not overrides:
        return declared
    if name is None:
        hint = "name one node, or leave them out"
        if "profile" in overrides:
            hint += f"; select declared nodes with profiles={overrides['profile']}"
        raise SettingsError("these arguments describe one node: " + ", ".join(overrides), hint=hint)
    return settings.with_node(declared, name, overrides)


def seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise SettingsError(f"{name} is {value!r}", hint="write a number of seconds, 0 or more")
    return value


def whole_number(name: str, value: object, most: int) -> int:
    """Return a number from 1 to ``most``. Raises SettingsError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        problem = Problem(name, value, f"is no number from 1 to {most}")
        raise SettingsError(WRONG_ARGUMENTS, problems=[problem])
    return value


def flags(**given: object) -> None:
    """Raise SettingsError that names each value that is neither true nor false.

    A quoted ``no`` must not mean yes.
    """
    problems = [problem for name, value in given.items() for problem in flag_problems(name, value)]
    if problems:
        words = any(isinstance(value, str) for value in given.values())
        hint = (
            "write several nodes as one argument, separated by commas; quote a glob, or the shell"
            " expands it"
        )
        raise SettingsError(WRONG_ARGUMENTS, problems=problems, hint=hint if words else None)


def flag_problems(name: str, value: object) -> list[str]:
    return [] if isinstance(value, bool) else [f"{name} is {value!r}: write True or False"]


def digest(value: object) -> str | None:
    """Return the prefix of a plan's digest, or None if the caller gives none."""
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not _DIGEST.fullmatch(text):
        remedy = (
            f"write at least the first {SHORTEST_DIGEST} characters of the digest that plan"
            " returns, in quotes"
        )
        raise SettingsError(
            WRONG_ARGUMENTS,
            problems=[Problem("plan", value, "is not the digest of a plan", remedy)],
        )
    return text
