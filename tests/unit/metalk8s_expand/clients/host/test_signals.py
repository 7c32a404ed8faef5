"""Signals between two steps."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from metalk8s_expand.clients.host import signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_and_the_second_is_meant(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals.handle_signals() as heard:
        assert heard.name == ""
        os.kill(os.getpid(), number)
        assert heard.name == number.name
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    with signals.handle_signals() as heard:
        os.kill(os.getpid(), signal.SIGHUP)
        assert heard.name == ""


def test_a_thread_hears_nothing() -> None:
    names: list[str] = []

    def work() -> None:
        with signals.handle_signals() as heard:
            names.append(heard.name)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert names == [""]
