"""What others are told of a run over Salt's event bus: tags and payloads, which docs/reactor promises to those who follow."""

from __future__ import annotations

from typing import Any

from metalk8s_expand.errors import ExpandError

PREFIX = "metalk8s_expand"
STARTED, DONE, FAILED = "started", "done", "failed"
# Of any text: the bus refuses events of a megabyte, and whoever listens has the report for the rest.
LONGEST = 500

Event = tuple[str, dict[str, Any]]


def step(
    run: str,
    node: str,
    name: str,
    state: str,
    elapsed: float = 0.0,
    job: str | None = None,
    error: BaseException | None = None,
) -> Event:
    """A step of a node has begun, is done or has failed; ``elapsed`` seconds, ``job`` its Salt job."""
    payload = {
        "expansion": run,
        "node": node,
        "step": name,
        "state": state,
        "elapsed_s": round(elapsed, 3),
        "job": job or None,
    }
    return f"{PREFIX}/{run}/{node}/{name}", {**payload, "error": _error(error)}


def started(run: str, doing: str, host: str) -> Event:
    """A run has taken the lock."""
    return f"{PREFIX}/{run}/started", {"expansion": run, "doing": doing[:LONGEST], "host": host}


def ended(
    run: str,
    doing: str,
    outcome: str,
    elapsed: float,
    retcode: int,
    error: BaseException | None = None,
) -> Event:
    """A run has given the lock back; ``retcode`` is that of its command."""
    payload = {
        "expansion": run,
        "doing": doing[:LONGEST],
        "outcome": outcome,
        "elapsed_s": round(elapsed, 3),
    }
    return f"{PREFIX}/{run}/ended", {**payload, "retcode": retcode, "error": _error(error)}


def _error(error: BaseException | None) -> dict[str, Any] | None:
    """Its class, exit code and sentence; never a traceback, whose values nobody has looked through."""
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
