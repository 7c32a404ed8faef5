"""Reads the return of ``state.orchestrate``: did every state succeed, how long did each take, what failed first and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """One state of the orchestration, in the order it ran; seconds."""

    name: str
    ok: bool
    elapsed: float
    comment: str
    job: str | None
    ran: bool = True
    failures: tuple[str, ...] = ()


def states(answer: object) -> tuple[State, ...]:
    """The states of an orchestration's return, empty when there are none to be found in it."""
    found = sorted(_results(_payload(answer)), key=lambda item: int(item[1].get("__run_num__", 0)))
    return tuple(_state(key, value) for key, value in found)


def problems(answer: object) -> list[str]:
    """Why this return is no success: its failed states, or, when it holds no states at all, what it says instead."""
    payload = _payload(answer)
    found = states(answer)
    if not found:
        return [f"the orchestration returned no states: {_shortened(payload)}"]
    failed = [f"state {state.name!r}: {_reason(state)}" for state in found if not state.ok and state.ran]
    retcode = answer.get("retcode") if isinstance(answer, Mapping) else None
    if not failed and retcode:
        return [f"the orchestration ended with the return code {retcode}"]
    return failed


def _payload(answer: object) -> object:
    """The value for the one minion, the master itself, that an orchestration runs on."""
    data = answer.get("data", answer) if isinstance(answer, Mapping) else answer
    if isinstance(data, Mapping) and len(data) == 1:
        return next(iter(data.values()))
    return data


def _results(payload: object) -> Iterator[tuple[str, Object]]:
    if isinstance(payload, Mapping):
        for key, value in payload.items():
            if isinstance(value, Mapping) and "result" in value:
                yield str(key), value


def _state(key: str, value: Object) -> State:
    parts = key.split("_|-")
    return State(
        name=str(value.get("__id__") or (parts[1] if len(parts) > 1 else key)),
        ok=value["result"] is not False,
        elapsed=_seconds(value.get("duration")),
        comment=str(value.get("comment", "")),
        job=str(value["__jid__"]) if value.get("__jid__") else None,
        ran=not _is_requisite_failure(value),
        failures=tuple(_inner_failures(value)),
    )


def _inner_failures(value: Object) -> Iterator[str]:
    changes = value.get("changes")
    returned = changes.get("ret") if isinstance(changes, Mapping) else None
    for minion, payload in (returned if isinstance(returned, Mapping) else {}).items():
        for key, inner in _results(payload):
            # What only failed because something before it did explains nothing.
            if inner["result"] is False and not _is_requisite_failure(inner):
                name = str(inner.get("__id__") or key)
                yield f"on {minion}, state {name!r}: {_shortened(inner.get('comment', ''))}"


def _is_requisite_failure(inner: Object) -> bool:
    return inner["result"] is False and inner.get("__state_ran__", True) is False


def _reason(state: State) -> str:
    inner = "; ".join(state.failures)
    job = f" (job {state.job})" if state.job else ""
    return (inner or _shortened(state.comment)) + job


def _seconds(duration: object) -> float:
    """Salt gives milliseconds, as a number or as '12.3 ms'."""
    try:
        return float(next(iter(str(duration).split()), "")) / 1000
    except ValueError:
        return 0.0


def _shortened(value: object, limit: int = 600) -> str:
    """On one line; of a traceback only what was raised, which stands last."""
    lines = str(value).strip().splitlines()
    text = lines[-1] if "Traceback (most recent call last)" in str(value) else " ".join(" ".join(lines).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
