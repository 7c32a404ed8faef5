"""Record the output of all sources of a run with the time of each line; triggers wait for lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.trigger import CLOCK, Trigger


@dataclass(frozen=True)
class Line:
    """A line of a source; ``moment`` is a time of the monotonic clock."""

    moment: float
    source: str
    text: str


class Board:
    """The lines of all sources in the order of their arrival; safe for several threads."""

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
        """Wait for the trigger in lines from ``since`` on; return whether it came.

        Stop after ``timeout`` seconds from now, or when ``ended`` returns true. A trigger of the
        clock always comes: if the run ends first, it comes at the end.
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
            # Check the end before the lines and without the lock: the last lines may just arrive.
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
