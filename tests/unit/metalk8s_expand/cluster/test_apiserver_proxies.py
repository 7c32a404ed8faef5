"""The API proxies of other nodes: one job, whatever is down, and a mark for the next run."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.cluster import apiserver_proxies
from metalk8s_expand.cluster.apiserver_proxies import ProxyUpdate
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.node.manifest import PROXY_BEHIND, VERSION_LABEL
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import UnreachableError
from tests.fakes.kube import FakeKube
from tests.fakes.minions import FakeMinions
from tests.fakes.nodes import READY

OURS, THEIRS = "metalk8s-2.0", "metalk8s-134.0"
NEW = Node("new", "2.0", ("master",), (), address="10.0.0.9")
KUBELET = {"nodeInfo": {"kubeletVersion": "v1.34.1"}}
WORKED = {"state": {"result": True}}
NO_ANSWER = "Minion did not return. [No response]"


def node(name: str, version: str = "2.0", behind: bool = False, ready: bool = True) -> Any:
    labels = {VERSION_LABEL: version, **({PROXY_BEHIND: "true"} if behind else {})}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {**READY, **KUBELET} if ready else {},
    }


@pytest.fixture
def minions(monkeypatch: pytest.MonkeyPatch) -> FakeMinions:
    """The minions of the master; its file server has this project's tree and MetalK8s's."""
    found = FakeMinions(every=lambda name: WORKED)

    class Files:
        def __init__(self, opts: Any) -> None:
            pass

        def has(self, sls: str, env: str) -> bool:
            return sls == saltenv.ORCHESTRATION or (env, sls) == (OURS, saltenv.APISERVER_PROXY)

    monkeypatch.setattr(apiserver_proxies.minions, "Minions", lambda opts: found)
    monkeypatch.setattr(apiserver_proxies, "FileServer", Files)
    return found


def marked(kube: FakeKube) -> list[str]:
    return sorted(
        name
        for name, item in kube.nodes_by_name.items()
        if PROXY_BEHIND in item["metadata"]["labels"]
    )


def test_ready_nodes_are_updated_in_one_job_and_others_are_marked(minions: FakeMinions) -> None:
    kube = FakeKube(node("a"), node("b"), node("c", ready=False), node("d"))
    minions.answers = {"b": NO_ANSWER, "d": {"state": {"result": False}}}
    found = apiserver_proxies.update(ClusterContext({}, kube), list(kube.nodes()))
    assert found == ProxyUpdate(("a",), ("c", "b", "d"))
    [(names, function, arguments)] = minions.asked
    assert (names, function) == (["a", "b", "d"], "state.sls")
    assert arguments[0] == saltenv.APISERVER_PROXY
    assert arguments[1]["saltenv"] == OURS
    assert marked(kube) == ["b", "c", "d"]
    assert found.answers == {"b": NO_ANSWER, "c": None, "d": {"state": {"result": False}}}


def tell_of_new(kube: FakeKube) -> ProxyUpdate:
    return apiserver_proxies.tell_others(ClusterContext({}, kube), NEW)


def test_new_node_and_hosts_without_kubelet_are_not_told(minions: FakeMinions) -> None:
    kube = FakeKube(node("a"), node("new"), node("registered", ready=False))
    assert tell_of_new(kube) == ProxyUpdate(("a",))
    assert [names for names, *_ in minions.asked] == [["a"], ["a"]]
    assert marked(kube) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"new": "10.0.0.9:6443", "a": "10.0.0.1:6443"}, False),
        ({"new": "10.0.0.8:6443"}, True),
        ({}, True),
        ("'metalk8s_expand_host.apiserver_proxy' is not available.", True),
    ],
)
def test_proxy_that_lists_the_server_is_left_alone(
    answer: Any, told: bool, minions: FakeMinions
) -> None:
    minions.answers = {"a": answer}
    tell_of_new(FakeKube(node("a")))
    assert [function for _, function, _ in minions.asked] == [
        apiserver_proxies.SERVERS,
        *(["state.sls"] if told else []),
    ]


def test_silent_minion_is_asked_once_and_marked(minions: FakeMinions) -> None:
    minions.every = None
    minions.answers = {"a": WORKED}
    kube = FakeKube(node("a"), node("b"))
    assert tell_of_new(kube) == ProxyUpdate(("a",), ("b",))
    assert [names for names, *_ in minions.asked] == [["a", "b"], ["a"]]
    assert marked(kube) == ["b"]


def test_marked_node_is_updated_even_if_its_file_lists_the_server(minions: FakeMinions) -> None:
    minions.answers = {"a": WORKED}
    kube = FakeKube(node("a", behind=True))
    assert tell_of_new(kube) == ProxyUpdate(("a",))
    assert [(names, function) for names, function, _ in minions.asked] == [
        ([], apiserver_proxies.SERVERS),
        (["a"], "state.sls"),
    ]
    assert marked(kube) == []


def test_every_version_is_updated_by_the_sls_of_its_tree(minions: FakeMinions) -> None:
    kube = FakeKube(node("a", "134.0"), node("b"))
    found = apiserver_proxies.update(ClusterContext({}, kube), list(kube.nodes()))
    assert found == ProxyUpdate(("a", "b"))
    asked = [
        (names, arguments[0], arguments[1]["saltenv"]) for names, _, arguments in minions.asked
    ]
    assert asked == [
        (["a"], saltenv.PROXY_OF_METALK8S, THEIRS),
        (["b"], saltenv.APISERVER_PROXY, OURS),
    ]


def test_next_run_updates_marked_nodes_only_and_removes_the_mark(minions: FakeMinions) -> None:
    kube = FakeKube(node("a"), node("b", behind=True), node("c", behind=True))
    minions.answers = {"c": NO_ANSWER}
    notes = apiserver_proxies.catch_up(ClusterContext({}, kube))
    assert [names for names, *_ in minions.asked] == [["b", "c"]]
    assert marked(kube) == ["c"]
    assert notes[0] == "the API proxies of b list every API server again"
    assert notes[1].startswith("the API proxies of c do not list every API server yet")
    minions.answers = {}
    assert len(apiserver_proxies.catch_up(ClusterContext({}, kube))) == 1
    assert marked(kube) == []


def test_next_run_does_not_ask_what_it_has_asked_before(minions: FakeMinions) -> None:
    kube = FakeKube(node("b", behind=True), node("c", behind=True))
    assert len(apiserver_proxies.catch_up(ClusterContext({}, kube), {"c"})) == 1
    assert [names for names, *_ in minions.asked] == [["b"]]
    assert apiserver_proxies.catch_up(ClusterContext({}, kube), {"c"}) == []
    assert marked(kube) == ["c"]


def test_run_without_marked_nodes_asks_no_minion(minions: FakeMinions) -> None:
    kube = FakeKube(node("a"), node("b"))
    assert apiserver_proxies.catch_up(ClusterContext({}, kube)) == []
    assert (minions.asked, kube.writes) == ([], [])


def test_master_that_does_not_answer_is_a_note(minions: FakeMinions) -> None:
    minions.limit = 0
    notes = apiserver_proxies.catch_up(ClusterContext({}, FakeKube(node("b", behind=True))))
    assert notes == ["the API proxies that are behind were not updated: no master"]


def test_mark_is_repeatable_and_ignores_what_is_no_node() -> None:
    kube = FakeKube(node("a"))
    for _ in range(2):
        apiserver_proxies.mark(kube, ["a", "gone", "../b", "x\x1b[2J"])
    assert marked(kube) == ["a"]


def test_mark_fails_if_the_api_does_not_answer() -> None:
    kube = FakeKube(node("a"))

    def fail(request: str) -> None:
        raise UnreachableError("down")

    kube.fail = fail
    with pytest.raises(UnreachableError):
        apiserver_proxies.mark(kube, ["a"])


def test_note_names_few_of_many_nodes() -> None:
    names = [f"w-{number}" for number in range(12)]
    assert "w-0, w-1, w-2, w-3, w-4 and 7 more do not list" in apiserver_proxies.behind_note(names)
