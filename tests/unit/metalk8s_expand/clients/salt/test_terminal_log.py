"""Tests of the lines of the log that the terminal of ``salt-run`` does not get."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from metalk8s_expand.clients.salt import terminal_log

SALT_RUN = {"__cli": "salt-run"}
log = logging.getLogger("metalk8s_expand.test")


@pytest.mark.parametrize("opts", [SALT_RUN, {}])
def test_result_is_printed_on_terminal_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, opts: dict[str, str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with terminal_log.without_result(opts):
            log.error("no quorum")
        log.error("another line")
    finally:
        logging.getLogger().removeHandler(handler)
    printed = terminal.getvalue().splitlines()
    assert printed == ([] if opts else ["no quorum"]) + ["another line"]
    assert caplog.messages == ["no quorum", "another line"]


def test_warnings_on_open_objects_of_salt_run_alone_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filters = {name: list(logging.getLogger(name).filters) for name in terminal_log.LEFT_OPEN}
    try:
        terminal_log.hide_salts_open_objects()
        terminal_log.hide_salts_open_objects()
        logging.getLogger("salt.runner").warning("unclosed Runner <salt.runner.Runner object>")
        logging.getLogger("salt.minion").warning("unclosed MasterMinion <object>")
        logging.getLogger("salt.runner").warning("unclosed RunnerClient <object>")
        logging.getLogger("salt.minion").warning("the master is gone")
    finally:
        for name, before in filters.items():
            logging.getLogger(name).filters[:] = before
    assert caplog.messages == ["unclosed RunnerClient <object>", "the master is gone"]
