"""All that is heard during a run, with the moment of each line: what triggers wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.trigger import CLOCK, Trigger


@dataclass(frozen=True)
class Line:
    """Something that was heard; the moment is of the monotonic clock."""

    moment: float
    source: str
    text: str


class Board:
    """Lines of all sources in the order they came; any thread may add one."""

    def __init__(self, log: Path | None = None) -> None:
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._log = log
        self._start = time.monotonic()

    def add(self, source: str, text: str) -> None:
        with self._changed:
            line = Line(time.monotonic(), source, text)
            self.lines.append(line)
            if self._log:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(f"{line.moment - self._start:9.3f} {source:<7} {text}\n")
            self._changed.notify_all()

    def wait(
        self,
        trigger: Trigger,
        since: float,
        timeout: float,
        ended: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Whether the trigger came within the time, counted from ``since``; not any more once ``ended`` says so.

        The clock's always comes: the moment after the end is one, too.
        """
        if trigger.source == CLOCK:
            _sleep_until(since + trigger.delay, ended)
            return True
        line = self._find(trigger, since, time.monotonic() + timeout, ended)
        if line is None:
            return False
        _sleep_until(line.moment + trigger.delay, lambda: False)
        return True

    def _find(
        self, trigger: Trigger, since: float, deadline: float, ended: Callable[[], bool]
    ) -> Line | None:
        place = 0
        while True:
            # Asked before the lines are looked at, and without the lock: the last ones may just be coming.
            over = ended() or time.monotonic() > deadline
            with self._changed:
                for line in self.lines[place:]:
                    if line.moment >= since and trigger.matches(line.source, line.text):
                        return line
                if over:
                    return None
                place = len(self.lines)
                self._changed.wait(0.2)


def _sleep_until(moment: float, ended: Callable[[], bool]) -> None:
    while (left := moment - time.monotonic()) > 0 and not ended():
        time.sleep(min(left, 0.1))
