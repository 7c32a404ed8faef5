"""Define the errors of the library; each carries an exit code, a node and a remedy."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

# The remedy of an error that no code expects.
INTERNAL_HINT = "read the traceback in the master's log; this is a bug, please report it"


def visible(value: object) -> str:
    """Return the value's text with control and direction characters as escapes, such as ``\\x1b``.

    Text of a host, of the API, of a job or of a file could otherwise control the operator's
    terminal, or forge a line of a log with a newline.
    """
    text = str(value)
    if text.isprintable():
        return text
    shown = []
    for character in text:
        # The categories of Unicode for control, format, line and paragraph separators.
        hidden = unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs")
        shown.append(character.encode("unicode_escape").decode() if hidden else character)
    return "".join(shown)


def visible_lines(text: str) -> str:
    """Return a text of several lines with each line visible."""
    return "\n".join(map(visible, text.split("\n")))


def visible_tree(value: Any) -> Any:
    """Return parsed JSON of a foreign system with every text visible, keys included."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible_tree(key): visible_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible_tree(item) for item in value]
    return value


@dataclass(frozen=True)
class Problem:
    """One mistake in a declaration: its path, the value, the message and the remedy."""

    path: str
    value: object
    message: str
    remedy: str = ""

    def __post_init__(self) -> None:
        # A path and a remedy may name a key or a value of a file or of an API object.
        for name in ("path", "message", "remedy"):
            object.__setattr__(self, name, visible(getattr(self, name)))

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.path}: {self.message} (found {self.value!r}){remedy}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "value": _plain(self.value)}


class ExpandError(Exception):
    """Base of all errors: the message states the action and the finding.

    ``retcode`` is the exit code. ``retry`` is True if the same call may succeed later without any
    change by the operator.
    """

    retcode: ClassVar[int] = 1
    retry: ClassVar[bool] = False
    cause: str | None = None

    def __init__(
        self,
        message: str,
        *,
        node: str | None = None,
        hint: str | None = None,
        log: str | None = None,
        problems: Sequence[Problem | str] = (),
        job: str | None = None,
    ) -> None:
        self.message = visible(message)
        super().__init__(self.message)
        self.node = None if node is None else visible(node)
        self.hint = None if hint is None else visible(hint)
        self.log = log
        self.problems = tuple(
            visible(problem) if isinstance(problem, str) else problem for problem in problems
        )
        self.job = job

    def __str__(self) -> str:
        lines = [f"{self._prefix}{self.message}"]
        lines += [f"  - {problem}" for problem in self.problems]
        lines += [f"  {pointer}" for pointer in self._pointers()]
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """Return the message and the problems in one line."""
        problems = "; ".join(str(problem) for problem in self.problems)
        return f"{self.message}: {problems}" if problems else self.message

    @property
    def as_problem(self) -> str:
        """Return the whole error in one line, as a problem of another error."""
        return "; ".join([f"{self._prefix}{self.summary}", *self._pointers()])

    @property
    def _prefix(self) -> str:
        """Return the node that the error is about, as the beginning of a line."""
        return f"node {self.node}: " if self.node else ""

    def _pointers(self) -> list[str]:
        """Return what to do next, the job and the log, as far as they are known."""
        known = (("do next", self.hint), ("job", self.job), ("log", self.log))
        return [f"{title}: {value}" for title, value in known if value]

    def as_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready mapping with all keys; ``text`` is the full message."""
        problems: list[Any] = []
        for problem in self.problems:
            problems.append(problem.as_dict() if isinstance(problem, Problem) else str(problem))
        return {
            "type": type(self).__name__,
            "retcode": self.retcode,
            "retry": self.retry,
            "cause": self.cause,
            "message": self.message,
            "node": self.node,
            "hint": self.hint,
            "log": self.log,
            "job": self.job,
            "problems": problems,
            "text": str(self),
        }


class SettingsError(ExpandError):
    """The declaration or an argument is wrong; nothing was changed."""

    retcode = 2


class PreflightError(ExpandError):
    """A host does not meet the requirements; nothing was changed on it."""

    retcode = 3


class UnreachableError(ExpandError):
    """A host, etcd or the API server did not answer, or refused the credentials.

    ``cause`` names the reason for programs.
    """

    retcode = 4
    retry = True

    def __init__(self, message: str, *, cause: str | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.cause = cause


class ConflictError(ExpandError):
    """Another client changed the object, or the object contradicts the declaration."""

    retcode = 5
    retry = True


class QuorumError(ExpandError):
    """The change would put etcd's quorum at risk."""

    retcode = 6
    retry = True


class DeadlineError(ExpandError):
    """A wait reached its time limit; the message contains the last reason."""

    retcode = 7
    retry = True


class DeployError(ExpandError):
    """The deployment of a node, or its verification, failed."""

    retcode = 8


class LockedError(ExpandError):
    """Another run holds the lock."""

    retcode = 9
    retry = True


class StoppedError(ExpandError):
    """The run stopped between two steps on request, or the operator did not confirm its plan."""

    retcode = 10


def _plain(value: object) -> Any:
    """Return the value if JSON supports it, else its representation.

    An invalid pillar may contain any type.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)
