"""The orchestrations of a Salt master in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.salt.saltenv import PREPARATION
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

    ``deployed`` runs for each node whose deployment succeeds. A preparation takes ``prepares``
    seconds and returns the value in ``prepared_returns``.
    """

    clock: FakeClock
    deployed: Callable[[str], None]
    took: float = 10.0
    prepares: float = 5.0
    returns: dict[str, Any] = field(default_factory=dict)
    prepared_returns: dict[str, Any] = field(default_factory=dict)
    # Nodes that are deployed although their return is not SUCCESS.
    also_deployed: set[str] = field(default_factory=set)
    started: list[tuple[float, str]] = field(default_factory=list)
    running: dict[str, tuple[str, float]] = field(default_factory=dict)
    most: int = 0
    made: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    epochs: set[int] = field(default_factory=set)
    pillars: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    # The jobs of preparations.
    preparations: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    forgotten: list[str] = field(default_factory=list)
    # When each preparation and deployment began and ended, in order: (kind, node, start, end).
    ended: list[tuple[str, str, float, float]] = field(default_factory=list)

    def new(self) -> str:
        self.made += 1
        return f"job-{self.made}"

    def start(self, jid: str, sls: str, saltenv: str, pillar: dict[str, Any]) -> None:
        self.epochs.add(pillar["orchestrate"]["epoch"])
        name = pillar["orchestrate"]["node_name"]
        prepares = sls == PREPARATION
        if prepares:
            self.preparations.add(jid)
        answer = self._answer(jid, name)
        if isinstance(answer, Exception):
            raise answer
        self.calls.append((sls, saltenv))
        self.pillars[sls, name] = pillar["orchestrate"]
        if not prepares:
            self.started.append((self.clock.time, name))
        took = self.prepares if prepares else self.took
        self.running[jid] = (name, self.clock.time + took)
        self.most = max(self.most, len(self.running))

    def begun_states(self, jid: str) -> list[str]:
        """Return the only state of an orchestration once, two seconds before its end."""
        _, end = self.running[jid]
        if jid in self.told or self.clock.time < end - 2:
            return []
        self.told.add(jid)
        return ["Install"]

    def forget_states(self, jid: str) -> None:
        self.forgotten.append(jid)

    def is_dead(self, jid: str) -> bool:
        name, end = self.running[jid]
        return self._answer(jid, name) is DEAD and self.clock.time >= end

    def result(self, jid: str) -> Any:
        name, end = self.running[jid]
        answer = self._answer(jid, name)
        if answer in (NEVER, DEAD) or self.clock.time < end:
            return None
        del self.running[jid]
        kind = "prepare" if jid in self.preparations else "deploy"
        took = self.prepares if kind == "prepare" else self.took
        self.ended.append((kind, name, end - took, self.clock.time))
        if kind == "deploy" and (answer is SUCCESS or name in self.also_deployed):
            self.deployed(name)
        return answer

    def _answer(self, jid: str, name: str) -> Any:
        returns = self.prepared_returns if jid in self.preparations else self.returns
        return returns.get(name, SUCCESS)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.started]
