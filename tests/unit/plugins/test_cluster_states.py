"""Test the states that run on the master: with test=True they change nothing and report the pending changes."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.salt import keys
from metalk8s_expand.cluster import apiserver_proxies, context, health, minion_key
from metalk8s_expand.cluster.apiserver_proxies import ProxyUpdate
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.errors import UnreachableError
from tests import extension
from tests.fakes.kube import FakeKube
from tests.fakes.reports import PLAN, REPORT, planned


def load(name: str, test: bool, **salt: Any) -> Any:
    module = extension.load("states", name)
    assert module.__virtual__() == name
    module.__opts__, module.__salt__ = {"test": test}, salt
    return module


class Runner:
    """``saltutil.runner``; it returns a report, or the plan of a dry run."""

    def __init__(self, **workers: str) -> None:
        self.called: list[Any] = []
        self.workers = [planned(name.replace("_", "-"), step) for name, step in workers.items()]

    def __call__(self, name: str, kwarg: dict[str, Any], full_return: bool) -> dict[str, Any]:
        assert full_return
        self.called.append((name, kwarg))
        answer = {**PLAN, "workers": self.workers} if kwarg["dry_run"] else REPORT
        return {"return": answer, "success": True}


@pytest.mark.parametrize(
    ("test", "dry_run", "asked"),
    [(False, False, False), (True, False, True), (False, True, True), (False, "no", "no")],
)
def test_expanded(test: bool, dry_run: Any, asked: Any) -> None:
    runner = Runner(w_1="register")
    states = load("metalk8s_expand", test, **{"saltutil.runner": runner})
    found = states.expanded(
        "any", dry_run=dry_run, nodes="w-*", max_parallel=3, __env__="base", wrong=1
    )
    assert runner.called == [
        (
            "metalk8s_expand.expand",
            {"nodes": "w-*", "max_parallel": 3, "wrong": 1, "dry_run": asked},
        )
    ]
    assert found["result"] is (None if asked else True)
    assert found["changes"] == ({"w-1": ["register"]} if asked else {})


def test_added() -> None:
    runner = Runner()
    states = load("metalk8s_expand", True, **{"saltutil.runner": runner})
    found = states.added("w-9", profile="worker", address="10.0.0.9")
    assert runner.called == [
        (
            "metalk8s_expand.add_node",
            {"node": "w-9", "profile": "worker", "address": "10.0.0.9", "dry_run": True},
        )
    ]
    assert (found["name"], found["result"], found["changes"]) == ("w-9", True, {})


@pytest.mark.parametrize(
    "answer", [None, "Exception occurred in runner metalk8s_expand.expand", {"success": False}]
)
def test_runner_without_answer_fails(answer: Any) -> None:
    states = load("metalk8s_expand", False, **{"saltutil.runner": lambda *_, **__: answer})
    assert states.expanded("any")["result"] is False


@pytest.mark.parametrize(
    ("told", "changes"),
    [
        (ProxyUpdate(), {}),
        (ProxyUpdate(("a",)), {"updated": ["a"]}),
        (
            ProxyUpdate(("a",), ("b",), {"b": None}),
            {"updated": ["a"], "ret": {"b": None}},
        ),
        (UnreachableError("no master"), {"ret": {"*": "no master"}}),
    ],
)
def test_proxies_that_are_behind_fail_no_state(
    told: Any, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cluster:
        def node(self, name: str) -> str:
            return name

    def tell(cluster: Any, new: str) -> Any:
        assert new == "cp-1"
        if isinstance(told, Exception):
            raise told
        return told

    monkeypatch.setattr(apiserver_proxies, "tell_others", tell)
    monkeypatch.setattr(context.ClusterContext, "from_opts", lambda opts: Cluster())
    found = load("metalk8s_expand_node", False).known_to_proxies("cp-1")
    assert (found["result"], found["changes"]) == (True, changes)
    tested = load("metalk8s_expand_node", True).known_to_proxies("cp-1")
    assert (tested["result"], tested["changes"]) == (True, {})


def cordoned(*keys: str) -> dict[str, Any]:
    marks = dict.fromkeys(keys, "true")
    return {
        "metadata": {"name": "w-1", "uid": "u", "annotations": marks, "labels": {}},
        "spec": {"unschedulable": True},
    }


@pytest.mark.parametrize(
    ("found", "test", "result", "writes"),
    [
        (cordoned(manifest.CORDONED), True, None, 0),
        (cordoned(manifest.CORDONED), False, True, 1),
        (cordoned(), True, True, 0),
        (None, True, True, 0),
    ],
)
def test_uncordoned(
    monkeypatch: pytest.MonkeyPatch, found: Any, test: bool, result: Any, writes: int
) -> None:
    kube = FakeKube(found)
    monkeypatch.setattr(
        context.ClusterContext, "from_opts", lambda opts: context.ClusterContext(opts, kube)
    )
    outcome = load("metalk8s_expand_node", test).uncordoned("w-1")
    assert (outcome["result"], len(kube.writes)) == (result, writes)
    assert bool(outcome["changes"]) is (result is None or bool(writes))


@pytest.mark.parametrize("function", ["verified", "well"])
def test_verification_with_test_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setattr(
        context.ClusterContext, "from_opts", lambda opts: pytest.fail("nothing is asked")
    )
    monkeypatch.setattr(
        health, "wait_until_healthy", lambda *_: pytest.fail("nothing is waited for")
    )
    assert getattr(load("metalk8s_expand_node", True), function)("w-1")["result"] is True


@pytest.mark.parametrize(
    ("place", "result"), [("minions", True), ("minions_pre", None), (None, None)]
)
def test_accepted(monkeypatch: pytest.MonkeyPatch, place: str | None, result: bool | None) -> None:
    monkeypatch.setattr(keys.Keys, "__init__", lambda self, opts: None)
    monkeypatch.setattr(keys.Keys, "public_key", lambda self, name: place and (place, "key"))
    monkeypatch.setattr(minion_key, "accept", lambda *_: pytest.fail("nothing is accepted"))
    found = load("metalk8s_expand_key", True).accepted("w-1")
    assert (found["result"], bool(found["changes"])) == (result, result is None)
