"""Test the wait for the kubelet with a fake clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from metalk8s_expand.errors import DeadlineError, UnreachableError
from metalk8s_expand.minion import kubelet
from tests.fakes.clock import FakeClock

READY: dict[str, Any] = {
    "metadata": {"name": "cp-1"},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


def test_ready_node_ends_the_wait(clock: FakeClock) -> None:
    answers: Iterator[Any] = iter(
        [UnreachableError("refused"), None, {"metadata": {"name": "cp-1"}}, READY]
    )

    def read(name: str) -> dict[str, Any] | None:
        assert name == "cp-1"
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kubelet.wait_until_ready("cp-1", 60, clock, read)
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("node_obj", "problem"),
    [(None, "Node cp-1 is not registered"), ({"metadata": {"name": "cp-1"}}, "never reported")],
)
def test_wait_is_bounded_and_says_what_the_api_knows(
    clock: FakeClock, node_obj: dict[str, Any] | None, problem: str
) -> None:
    begin = clock.monotonic()
    with pytest.raises(DeadlineError, match=problem) as raised:
        kubelet.wait_until_ready("cp-1", 60, clock, lambda _: node_obj)
    assert clock.monotonic() - begin == pytest.approx(60)
    assert raised.value.node == "cp-1"
    assert "journalctl --unit kubelet" in str(raised.value)
