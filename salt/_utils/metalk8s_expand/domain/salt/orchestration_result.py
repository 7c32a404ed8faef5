"""Read the return of ``state.orchestrate``: results, durations and failures of its states.

The return values of its states are read too. Salt reports success for a runner that returns its
failure as a value, as older runners of MetalK8s do, and for a runner called with wrong arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.errors import visible

Object = Mapping[str, Any]

# Salt returns this text for a runner that raised a TypeError, and no other sign of the failure.
INVALID = "Passed invalid arguments"
SILENT = "it did not return, or returned False"
# Salt's comment on a state that it did not run because a requisite failed. Before 3008 it is the
# only sign.
NOT_RUN = "One or more requisite failed: "


@dataclass(frozen=True)
class State:
    """One state of the orchestration; ``elapsed`` is in seconds.

    ``failed_minions`` did not return, or returned a failure, even if the state allows that.
    """

    name: str
    ok: bool
    elapsed: float
    comment: str
    job: str | None
    ran: bool = True
    failures: tuple[str, ...] = ()
    failed_minions: tuple[str, ...] = ()


def begun_state(data: object) -> str:
    """Return the name of the state that has sent this event, with its control characters visible.

    It is empty for other data.
    """
    name = data.get("name") if isinstance(data, Mapping) else None
    return visible(name) if isinstance(name, str) else ""


def states(answer: object) -> tuple[State, ...]:
    """Return the states of an orchestration's return in the order they ran; () without any."""
    results = sorted(
        _results(_payload(answer)), key=lambda item: int(item[1].get("__run_num__", 0))
    )
    return tuple(_state(key, value) for key, value in results)


def problems(answer: object) -> list[str]:
    """Return the failed states of this return, or its text if it contains no states."""
    payload = _payload(answer)
    all_states = states(answer)
    if not all_states:
        return [f"the orchestration returned no states: {_shortened(_joined(payload))}"]
    failed = []
    for state in all_states:
        if not state.ok and state.ran:
            failed.append(f"state {state.name!r}: {_reason(state)}")
    retcode = answer.get("retcode") if isinstance(answer, Mapping) else None
    if not failed and retcode:
        return [f"the orchestration ended with the return code {retcode}"]
    return failed


def _payload(answer: object) -> object:
    """Return the value of the only minion of an orchestration, the master itself."""
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
    changes = value.get("changes")
    returned: Object = changes if isinstance(changes, Mapping) else {}
    answer = returned.get("return")
    nested = _runner_failures(answer)
    return State(
        name=str(value.get("__id__") or (parts[1] if len(parts) > 1 else key)),
        ok=value["result"] is not False and not nested,
        elapsed=_seconds(value.get("duration")),
        comment=str(value.get("comment", "")),
        job=str(value["__jid__"]) if value.get("__jid__") else None,
        ran=not _is_requisite_failure(value),
        failures=(*(nested or _returned_text(answer)), *_minion_failures(returned.get("ret"))),
        failed_minions=_failed_minions(returned.get("ret")),
    )


def _runner_failures(returned: object) -> list[str]:
    """Return the failures in a runner's return value, regardless of Salt's result."""
    if isinstance(returned, str) and returned.lstrip().startswith(INVALID):
        return [_shortened(returned.partition("\n\nUsage:")[0])]
    if not isinstance(returned, Mapping):
        return []
    if isinstance(returned.get("data"), Mapping):
        # An empty orchestration inside another is not a failure.
        return problems(returned) if returned.get("retcode") or _payload(returned) else []
    if returned.get("retcode") or returned.get("result") is False:
        reason: object = returned
        for key in ("error", "errors", "comment"):
            if returned.get(key):
                reason = returned[key]
                break
        return [f"the runner returned a failure: {_shortened(_joined(reason))}"]
    return []


def _returned_text(returned: object) -> list[str]:
    """Return the text that a runner returned, which is its exception if the runner failed."""
    return [_shortened(returned)] if isinstance(returned, str) and returned.strip() else []


def _failed_minions(returned: object) -> tuple[str, ...]:
    minions = returned if isinstance(returned, Mapping) else {}
    return tuple(
        str(minion)
        for minion, payload in minions.items()
        if list(_minion_failures({minion: payload}))
    )


def _minion_failures(returned: object) -> Iterator[str]:
    """Yield the failures in the minions' returns.

    Use them only for a failed state: a minion may fail by design.
    """
    for minion, payload in (returned if isinstance(returned, Mapping) else {}).items():
        if payload is False or payload is None:
            yield f"on {minion}: {SILENT}"
        elif isinstance(payload, (list, str)) and payload:
            yield f"on {minion}: {_shortened(_joined(payload))}"
        for failure in _state_failures(payload):
            yield f"on {minion}, {failure}"


def _state_failures(payload: object) -> Iterator[str]:
    for key, inner in _results(payload):
        # A state that failed only because a requisite failed does not explain the failure.
        if inner["result"] is False and not _is_requisite_failure(inner):
            yield (
                f"state {str(inner.get('__id__') or key)!r}: {_shortened(inner.get('comment', ''))}"
            )


def _joined(value: object) -> object:
    if value and isinstance(value, (list, tuple)):
        return "; ".join(_shortened(item) for item in value)
    return value


def _is_requisite_failure(inner: Object) -> bool:
    if inner["result"] is not False:
        return False
    return inner.get("__state_ran__", True) is False or str(inner.get("comment", "")).startswith(
        NOT_RUN
    )


def _reason(state: State) -> str:
    inner = "; ".join(state.failures)
    job = f" (job {state.job})" if state.job else ""
    return (inner or _shortened(state.comment)) + job


def _seconds(duration: object) -> float:
    """Return seconds from Salt's milliseconds, a number or text such as '12.3 ms'."""
    try:
        return float(next(iter(str(duration).split()), "")) / 1000
    except ValueError:
        return 0.0


def _shortened(value: object, limit: int = 600) -> str:
    """Return the value on one line of at most ``limit`` characters.

    A traceback is reduced to its last line, the exception. The lines of a file that Salt appends
    are dropped.
    """
    lines = str(value).partition("\n---")[0].strip().splitlines()
    text = (
        lines[-1]
        if "Traceback (most recent call last)" in str(value)
        else " ".join(" ".join(lines).split())
    )
    text = visible(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
