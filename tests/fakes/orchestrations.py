"""The orchestrations of a Salt master in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clock import FakeClock

SUCCESS: Any = {
    "data": {
        "m": {
            "a_|-Install_|-b_|-c": {
                "result": True,
                "__id__": "Install",
                "__run_num__": 0,
                "duration": 1000.0,
            }
        }
    }
}
FAILURE: Any = {
    "data": {
        "m": {
            "a_|-Install_|-b_|-c": {
                "result": True, "__id__": "Install", "__run_num__": 0, "duration": 1000.0,
            },
            "a_|-Run_|-b_|-c": {
                "result": False, "__id__": "Run", "__run_num__": 1, "comment": "it broke",
                "__jid__": "42",
            },
            "a_|-Next_|-b_|-c": {
                "result": False, "__id__": "Next", "__run_num__": 2, "__state_ran__": False,
            },
        }
    },
    "retcode": 1,
}  # fmt: skip
NEVER, DEAD = "never", "dead"


@dataclass
class FakeOrchestrations:
    """Orchestrations that take ``took`` seconds and return the value of their node in ``returns``.

    ``deployed`` runs for each node whose orchestration succeeds.
    """

    clock: FakeClock
    deployed: Callable[[str], None]
    took: float = 10.0
    returns: dict[str, Any] = field(default_factory=dict)
    # Nodes that are deployed although their return is not SUCCESS.
    also_deployed: set[str] = field(default_factory=set)
    started: list[tuple[float, str]] = field(default_factory=list)
    running: dict[str, tuple[str, float]] = field(default_factory=dict)
    most: int = 0
    made: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    epochs: set[int] = field(default_factory=set)

    def new(self) -> str:
        self.made += 1
        return f"job-{self.made}"

    def start(self, jid: str, sls: str, saltenv: str, pillar: dict[str, Any]) -> None:
        self.epochs.add(pillar["orchestrate"]["epoch"])
        name = pillar["orchestrate"]["node_name"]
        if isinstance(self.returns.get(name), Exception):
            raise self.returns[name]
        self.calls.append((sls, saltenv))
        self.started.append((self.clock.time, name))
        self.running[jid] = (name, self.clock.time + self.took)
        self.most = max(self.most, len(self.running))

    def is_dead(self, jid: str) -> bool:
        name, end = self.running[jid]
        return self.returns.get(name) is DEAD and self.clock.time >= end

    def result(self, jid: str) -> Any:
        name, end = self.running[jid]
        answer = self.returns.get(name, SUCCESS)
        if answer in (NEVER, DEAD) or self.clock.time < end:
            return None
        del self.running[jid]
        if answer is SUCCESS or name in self.also_deployed:
            self.deployed(name)
        return answer

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.started]
