"""The frontier between Salt and the library: the only file that knows what Salt makes of a runner's outcome.

Salt reads a TypeError as "invalid arguments" and calls that success, and it looks for a failure both in the returned
``retcode`` (salt-run's exit code) and in the context (an orchestration's verdict): every public function of a runner
goes through here, so that both always agree. A result must not have the key ``data``: Salt would judge it as states.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, ParamSpec, TypeVar

from salt.exceptions import SaltClientError, SaltException

from metalk8s_expand.domain.parsing.reader import suggestion
from metalk8s_expand.errors import ExpandError, Problem, SettingsError

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Context = Callable[[], MutableMapping[str, Any]]
Options = Callable[[], Mapping[str, Any]]

OURS = "metalk8s_expand."
INTERNAL_HINT = "read the traceback in the master's log; this is a defect, please report it"


def runner_boundary(
    context: Context, options: Options = dict
) -> Callable[[Callable[P, R]], Callable[P, R | dict[str, Any]]]:
    """Make a public runner function, given how to get at the module's ``__context__`` and ``__opts__`` when it is called.

    Use as ``@runner_boundary(lambda: __context__, lambda: __opts__)``: the loader sets the dunders only after the module
    was executed. The result is the function's own, or ``{"retcode": n, "error": {...}}``, in a terminal with the error
    as text.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R | dict[str, Any]]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | dict[str, Any]:
            # It sticks between the calls of one process.
            context()["retcode"] = 0
            result = _outcome(function, *args, **_arguments(kwargs))
            context()["retcode"] = _retcode(result)
            if (
                is_for_people(options())
                and isinstance(result, dict)
                and isinstance(result.get("error"), dict)
            ):
                return {**result, "error": result["error"]["text"]}
            return result

        wrapper.__signature__ = _lenient(inspect.signature(function))  # type: ignore[attr-defined]
        # Salt would look at the function inside.
        del wrapper.__wrapped__
        return wrapper

    return decorate


def is_for_people(opts: Mapping[str, Any]) -> bool:
    """Whether somebody reads the outcome in a terminal, and not a program the JSON or the job's return."""
    # What was typed: an orchestration, which looks into what its runners return, may be typed as well.
    direct = str(opts.get("fun") or OURS).startswith(OURS)
    return opts.get("__cli") == "salt-run" and not opts.get("output") and direct


def _lenient(signature: inspect.Signature) -> inspect.Signature:
    """The same with any further keyword: Salt would refuse an unknown one by itself, with an exit code of its own."""
    parameters = list(signature.parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return signature
    return signature.replace(
        parameters=[*parameters, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]
    )


def _arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without what Salt adds of the caller, under names of two underscores."""
    return {key: value for key, value in kwargs.items() if not key.startswith("__")}


def roster_boundary(function: Callable[P, R]) -> Callable[P, R]:
    """Make a roster's ``targets``: salt-ssh prints a SaltClientError as a message, anything else as a traceback.

    An OSError must not leave either: Salt would go on with no targets and connect to the name with default credentials.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ExpandError, OSError) as error:
            raise SaltClientError(str(error)) from error

    return wrapper


def state_boundary(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Make a state function of one that returns its changes (a mapping, a list, a sentence, or nothing).

    Under test=True changes mean that there is something to do; an ExpandError is the state's failure.
    """

    @functools.wraps(function)
    def wrapper(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            changes = _changes(function(name, *args, **kwargs))
        except ExpandError as error:
            log.error("%s: %s", function.__name__, error)
            return {"name": name, "changes": {}, "result": False, "comment": str(error)}
        testing = bool(function.__globals__.get("__opts__", {}).get("test"))
        if not changes:
            return {"name": name, "changes": {}, "result": True, "comment": "Nothing to change."}
        result, comment = (None, "This would be changed.") if testing else (True, "Changed.")
        return {"name": name, "changes": changes, "result": result, "comment": comment}

    return wrapper


def _changes(found: Any) -> dict[str, Any]:
    if isinstance(found, Mapping):
        return dict(found)
    return {"changes": found} if found else {}


def failure(error: ExpandError) -> dict[str, Any]:
    """The result that stands for this error."""
    return {"retcode": error.retcode, "error": error.as_dict()}


def _outcome(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | dict[str, Any]:
    name = function.__name__
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        problems = _unknown(inspect.signature(function), kwargs)
        hint = f"its arguments: salt-run -d metalk8s_expand.{name}"
        return failure(
            SettingsError(f"{name}: invalid arguments: {error}", problems=problems, hint=hint)
        )
    try:
        return function(*args, **kwargs)
    except ExpandError as error:
        log.error("%s: %s", name, error)
        return failure(error)
    except SaltException as error:
        log.error("%s: %s", name, error, exc_info=True)
        return failure(
            ExpandError(
                f"{name}: Salt failed with {type(error).__name__}: {error}",
                hint="read the master's log",
            )
        )
    except Exception as error:
        log.exception("%s: unexpected %s", name, type(error).__name__)
        return failure(
            ExpandError(f"{name}: unexpected {type(error).__name__}: {error}", hint=INTERNAL_HINT)
        )


def _unknown(signature: inspect.Signature, kwargs: Mapping[str, Any]) -> list[Problem]:
    """What was given by a name that the function does not have."""
    known = list(signature.parameters)
    return [
        Problem(key, key, "is an unknown argument", suggestion(key, known))
        for key in kwargs
        if key not in known
    ]


def _retcode(result: object) -> int:
    code = result.get("retcode") if isinstance(result, Mapping) else None
    return code if isinstance(code, int) else 0
