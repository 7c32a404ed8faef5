"""What Salt's log prints on the terminal of ``salt-run``, beside the result of a command.

The result on stdout already contains the error of a command, so the terminal does not get its line
of the log. The log file gets it, and a master or minion process has no terminal.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Salt 3008 leaves these objects of ``salt-run`` open and then warns about them, at the end of each
# command: https://github.com/saltstack/salt/issues/70174. Only Salt's own ``SaltRun.run`` could
# close them. The last one is its connection to the event bus of a master that does not run.
LEFT_OPEN = {
    "salt.runner": "unclosed Runner ",
    "salt.minion": "unclosed MasterMinion ",
    "salt.utils.asynchronous": (
        "unclosed SyncWrapper for cls=<class 'salt.transport.tcp._TCPPubServerPublisher'>"
    ),
}


def is_terminal(opts: Mapping[str, Any]) -> bool:
    """Return whether this process is ``salt-run``, which prints the result of its function."""
    return opts.get("__cli") == "salt-run"


def hide_salts_open_objects() -> None:
    """Drop the warnings about the objects that ``salt-run`` itself leaves open."""
    for name in LEFT_OPEN:
        # A filter that the logger already has is not added again.
        logging.getLogger(name).addFilter(_is_of_others)


@contextmanager
def without_result(opts: Mapping[str, Any]) -> Iterator[None]:
    """Keep what this block logs from the terminal of ``salt-run``, which prints it as the result.

    Other handlers, such as the log file, get the lines.
    """
    handlers = logging.getLogger().handlers if is_terminal(opts) else ()
    terminals = [handler for handler in handlers if _prints(handler)]
    for handler in terminals:
        handler.addFilter(_nothing)
    try:
        yield
    finally:
        for handler in terminals:
            handler.removeFilter(_nothing)


def _prints(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def _is_of_others(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(LEFT_OPEN.get(record.name, "\n"))
