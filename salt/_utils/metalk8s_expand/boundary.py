"""Boundary between Salt and the library: translate results and errors of plugins for Salt.

Salt reports a TypeError as "invalid arguments" and counts it as success. It reads a failure both
from the returned ``retcode`` (the exit code of salt-run) and from the context (the result of an
orchestration). Every public runner function passes through this module, so that both agree. A
result must not have the key ``data``: Salt would evaluate it as states.
"""

from __future__ import annotations

import functools
import gc
import inspect
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, ParamSpec, TypeVar

from salt.exceptions import SaltClientError, SaltException

from metalk8s_expand.clients.salt import terminal_log, terminal_output
from metalk8s_expand.domain.parsing.reader import suggestion
from metalk8s_expand.domain.reports.terminal.error import render_error
from metalk8s_expand.errors import INTERNAL_HINT, ExpandError, Problem, SettingsError

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Context = Callable[[], MutableMapping[str, Any]]
Options = Callable[[], Mapping[str, Any]]

OURS = "metalk8s_expand."


def runner_boundary(
    context: Context, options: Options = dict
) -> Callable[[Callable[P, R]], Callable[P, R | dict[str, Any]]]:
    """Return a decorator for public runner functions.

    ``context`` and ``options`` return the module's ``__context__`` and ``__opts__`` at each call.
    Use as ``@runner_boundary(lambda: __context__, lambda: __opts__)``: the loader sets the dunders
    only after it executed the module. The decorated function returns its own result or
    ``{"retcode": n, "error": {...}}``. In a terminal the error is text.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R | dict[str, Any]]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | dict[str, Any]:
            # The context keeps the retcode between the calls of one process.
            context()["retcode"] = 0
            opts = options()
            if terminal_log.is_terminal(opts):
                # What this process has loaded stays until it ends. To look through it for garbage
                # takes as long as some twenty requests.
                gc.freeze()
                terminal_log.hide_salts_open_objects()
            result = _outcome(opts, function, *args, **_arguments(kwargs))
            context()["retcode"] = _retcode(result)
            if (
                is_for_people(opts)
                and isinstance(result, dict)
                and isinstance(result.get("error"), dict)
            ):
                document = render_error(result["error"])
                return {**result, **terminal_output.printed(opts, "error", document)}
            return result

        wrapper.__signature__ = _lenient(inspect.signature(function))  # type: ignore[attr-defined]
        # Otherwise Salt would inspect the wrapped function.
        del wrapper.__wrapped__
        return wrapper

    return decorate


def is_for_people(opts: Mapping[str, Any]) -> bool:
    """Return whether the output goes to a terminal, not as JSON or job return to a program."""
    return terminal_output.chooses_itself(opts) and is_called_by_operator(opts)


def is_called_by_operator(opts: Mapping[str, Any]) -> bool:
    """Return whether an operator has called a function of this project with ``salt-run``."""
    # ``fun`` is the command of the operator. It may be an orchestration, which reads the returns of
    # its runners.
    direct = str(opts.get("fun") or OURS).startswith(OURS)
    return terminal_log.is_terminal(opts) and direct


def _lenient(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature with arbitrary keywords.

    Otherwise Salt itself would refuse an unknown keyword with its own exit code.
    """
    parameters = list(signature.parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return signature
    return signature.replace(
        parameters=[*parameters, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]
    )


def _arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without those that Salt adds about the caller (``__*``)."""
    return {key: value for key, value in kwargs.items() if not key.startswith("__")}


def roster_boundary(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a roster's ``targets`` to raise only SaltClientError for expected errors.

    salt-ssh prints a SaltClientError as a message and any other error as a traceback. After an
    OSError Salt would continue without targets and connect to the name with default credentials.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ExpandError, OSError) as error:
            raise SaltClientError(str(error)) from error

    return wrapper


def state_boundary(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Turn a function that returns its changes into a state function.

    The changes are a mapping, a list, a sentence or empty. With test=True they describe the pending
    changes. An ExpandError is the failure of the state.
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
        result, comment = (None, "This would change.") if testing else (True, "Changed.")
        return {"name": name, "changes": changes, "result": result, "comment": comment}

    return wrapper


def _changes(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return dict(result)
    return {"changes": result} if result else {}


def failure(error: ExpandError) -> dict[str, Any]:
    """Return the result of a runner function for this error."""
    return {"retcode": error.retcode, "error": error.as_dict()}


def _outcome(
    opts: Mapping[str, Any], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R | dict[str, Any]:
    name = function.__name__
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        problems = _unknown(inspect.signature(function), kwargs)
        hint = f"show its arguments: salt-run -d metalk8s_expand.{name}"
        return failure(
            SettingsError(f"{name}: invalid arguments: {error}", problems=problems, hint=hint)
        )
    try:
        return function(*args, **kwargs)
    except ExpandError as error:
        with terminal_log.without_result(opts):
            log.error("%s: %s", name, error)
        return failure(error)
    except SaltException as error:
        with terminal_log.without_result(opts):
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
    """Return a problem for each argument that the function does not have."""
    known = list(signature.parameters)
    problems = []
    for key in kwargs:
        if key not in known:
            problems.append(Problem(key, key, "is an unknown argument", suggestion(key, known)))
    return problems


def _retcode(result: object) -> int:
    code = result.get("retcode") if isinstance(result, Mapping) else None
    return code if isinstance(code, int) else 0
