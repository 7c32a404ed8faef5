"""Events of a run on Salt's event bus: tags and payloads, as docs/guides/events.rst has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metalk8s_expand.errors import ExpandError

PREFIX = "metalk8s_expand"
STARTED, DONE, FAILED = "started", "done", "failed"
# Limit of any text in an event: the bus refuses events of a megabyte, and the report has the rest.
LONGEST = 500

Event = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class NodeStep:
    """A step of a node in a run."""

    run: str
    node: str
    name: str


@dataclass(frozen=True)
class RunEnd:
    """The end of a run.

    ``retcode`` is the exit code of the run's command, ``elapsed`` is in seconds.
    """

    outcome: str
    elapsed: float
    retcode: int
    error: BaseException | None = None


def step(
    of: NodeStep,
    state: str,
    elapsed: float = 0.0,
    job: str | None = None,
    error: BaseException | None = None,
) -> Event:
    """Return the event of a step that has started, is done or has failed.

    ``elapsed`` is in seconds. ``job`` is the ID of the step's Salt job.
    """
    return f"{PREFIX}/{of.run}/{of.node}/{of.name}", {
        "expansion": of.run,
        "node": of.node,
        "step": of.name,
        "state": state,
        "elapsed_s": round(elapsed, 3),
        "job": job or None,
        "error": _error(error),
    }


def started(run: str, doing: str, host: str) -> Event:
    """Return the event of a run that acquired the lock."""
    return f"{PREFIX}/{run}/started", {"expansion": run, "doing": doing[:LONGEST], "host": host}


def ended(run: str, doing: str, end: RunEnd) -> Event:
    """Return the event of a run that released the lock."""
    return f"{PREFIX}/{run}/ended", {
        "expansion": run,
        "doing": doing[:LONGEST],
        "outcome": end.outcome,
        "elapsed_s": round(end.elapsed, 3),
        "retcode": end.retcode,
        "error": _error(end.error),
    }


def _error(error: BaseException | None) -> dict[str, Any] | None:
    """Return the class, exit code and message of an error.

    The event never contains a traceback, because the values in it are unchecked for secrets.
    """
    if error is None:
        return None
    if isinstance(error, ExpandError):
        return {
            "type": type(error).__name__,
            "retcode": error.retcode,
            "message": error.message[:LONGEST],
        }
    return {
        "type": type(error).__name__,
        "retcode": 1,
        "message": "unexpected; the traceback is in the master's log",
    }
