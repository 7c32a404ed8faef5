"""Measure the work on Node objects against kubectl and bare requests.

The API server and etcd are real and listen on loopback.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.bare import Bare
from bench.cluster import Cluster, running
from bench.master import Master
from bench.nodes import NODES, joined, pillar, registration, renewed, reported
from bench.rows import Figure, Line, Row, in_turns, timed
from metalk8s_expand.cluster import node_registration, roster
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node import manifest, ownership_record
from metalk8s_expand.domain.node.spec import Node
from tests.integration import metrics

NEW, DECLARED, THERE = 1000, 5000, 4990
FEW = 5
ROUNDS = 5
# kubectl takes long, so its noise is small in relation.
SLOW_ROUNDS = 3
REPEATS = 25
MAX_MB = 300
MAX_START_S = 1.5
RECORD = f"/api/v1/namespaces/{ownership_record.NAMESPACE}/configmaps/{ownership_record.NAME}"
ROOT = Path(__file__).resolve().parents[1]


def rows() -> Iterator[Line]:
    """Yield all rows, on one API server, from few Nodes to many."""
    with running() as cluster:
        bare, master = Bare(cluster.server), Master(cluster.root / "salt", cluster.server.admin)
        yield from _start(master)
        yield from _registration(cluster, bare, "new Nodes", _nodes(NEW))
        yield from _registration(
            cluster,
            bare,
            "new Nodes with a label of the operator's",
            _nodes(NEW, labels={"example.com/rack": "7"}),
        )
        yield from _large(cluster, bare)
        yield _compiled(master)


def _nodes(count: int, **node: Any) -> list[Node]:
    return list(settings.parse(pillar(count, **node)).nodes.values())


def _start(master: Master) -> Iterator[Line]:
    """Measure the start of a command: its time beyond that of a runner that does nothing."""
    master.declare(pillar(FEW))
    assert len(master.run("metalk8s_expand.plan")["waves"]) == 2
    ours, bare = in_turns(
        SLOW_ROUNDS + 2, lambda: master.run("metalk8s_expand.plan"), lambda: master.run("test.arg")
    )
    yield Row(
        f"salt-run metalk8s_expand.plan on {FEW} nodes, beyond test.arg",
        ours - bare,
        "allowed",
        MAX_START_S,
        1,
    )
    yield Figure("salt-run test.arg", bare)


def _registration(cluster: Cluster, bare: Bare, what: str, nodes: Sequence[Node]) -> Iterator[Line]:
    """Measure the registration of new Nodes, and of unchanged Nodes against a list of them.

    The works take turns.
    """
    new, posts, kubectl = _creations(cluster, bare, nodes)
    yield Row(f"register {len(nodes)} {what}", new, "kubectl apply -f", kubectl, 4, faster=True)
    yield Row(f"register {len(nodes)} {what}", new, "bare POSTs on 16 connections", posts, 2.5)
    _from_nothing(cluster, lambda: _registered(cluster, nodes))
    bare.connect()
    works = (
        lambda: _unchanged(cluster, nodes),
        lambda: json.loads(bare.get(NODES)),
        lambda: bare.get(NODES),
    )
    again, decoded, read = in_turns(REPEATS, *works)
    yield Row("the same with nothing changed", again, "one bare list, decoded", decoded, 3)
    yield Figure("the same beside the bytes of that list alone", again / read, "times")
    yield Row(
        "the same with nothing changed: writes",
        _written(cluster, nodes),
        "none allowed",
        1,
        0,
        unit="",
    )
    _from_nothing(cluster, lambda: None)


def _creations(cluster: Cluster, bare: Bare, nodes: Sequence[Node]) -> tuple[float, float, float]:
    """Return the median seconds of this project, of bare requests and of kubectl."""
    requests = [registration(node) for node in nodes]
    manifests = cluster.root / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all([manifest.registration(node) for node in nodes]))
    ours: list[float] = []
    posts: list[float] = []
    kubectl: list[float] = []
    for turn in range(ROUNDS):
        ours.append(_from_nothing(cluster, lambda: _registered(cluster, nodes)))
        bare.connect()
        posts.append(_from_nothing(cluster, lambda: bare.send(requests)))
        if turn < SLOW_ROUNDS:
            kubectl.append(
                _from_nothing(cluster, lambda: _kubectl(cluster, "apply", "-f", str(manifests)))
            )
    return statistics.median(ours), statistics.median(posts), statistics.median(kubectl)


def _from_nothing(cluster: Cluster, work: Callable[[], object]) -> float:
    """Return the seconds that the work takes on an API server without Nodes."""
    cluster.kube.request("DELETE", NODES)
    cluster.kube.request("DELETE", RECORD)
    assert cluster.kube.nodes() == []
    return timed(work)


def _registered(cluster: Cluster, nodes: Sequence[Node]) -> None:
    outcome = node_registration.register_all(cluster.kube, nodes)
    assert all(isinstance(changes, list) and changes for changes in outcome.values()), outcome


def _unchanged(cluster: Cluster, nodes: Sequence[Node]) -> None:
    assert not any(node_registration.register_all(cluster.kube, nodes).values())


def _written(cluster: Cluster, nodes: Sequence[Node]) -> int:
    """Return how many writes the API server counts while existing Nodes are registered again."""
    before = metrics.requests(cluster.kube, "nodes", "configmaps")
    _unchanged(cluster, nodes)
    return metrics.writes(metrics.requests(cluster.kube, "nodes", "configmaps") - before).total()


def _kubectl(cluster: Cluster, *arguments: str) -> None:
    program = [
        str(cluster.server.programs["kubectl"]),
        f"--kubeconfig={cluster.server.admin}",
        *arguments,
    ]
    subprocess.run(program, stdout=subprocess.DEVNULL, check=True, timeout=600)


def _large(cluster: Cluster, bare: Bare) -> Iterator[Line]:
    """Measure on a cluster of many Nodes in service.

    The cluster has most of the declared Nodes and a few undeclared ones.
    """
    declaration = pillar(DECLARED, ("worker", "infra", "worker-infra"))
    declared = settings.parse(declaration)
    nodes = list(declared.nodes.values())
    strangers = [Node(f"stranger-{number}", *_like(nodes[0])) for number in range(DECLARED - THERE)]
    there = [*nodes[:THERE], *strangers]
    bare.connect()
    bare.send([joined(node) for node in there])
    bare.send([reported(node) for node in there])
    bare.send([renewed(node) for node in there])
    yield Figure(f"size of {len(there)} Nodes", len(bare.get(NODES)) / 1e6, "MB")
    yield from _plan(cluster, declaration)
    yield _roster(cluster, bare, declared, strangers[0].name)


def _like(node: Node) -> tuple[Any, ...]:
    return node.version, node.roles, node.taints, node.labels, node.ssh, "10.127.0.1"


def _plan(cluster: Cluster, declaration: dict[str, Any]) -> Iterator[Line]:
    path = cluster.root / "pillar.json"
    path.write_text(json.dumps(declaration))
    command = [sys.executable, "-m", "bench.planning", str(cluster.server.admin), str(path)]
    answers: list[dict[str, Any]] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        kubectl = []
        for _ in range(SLOW_ROUNDS):
            kubectl.append(timed(lambda: _kubectl(cluster, "get", "nodes", "-o", "json")))
            print(file=child.stdin, flush=True)
            answers.append(json.loads(child.stdout.readline()))
        child.stdin.close()
    assert {(answer["due"], answer["unchanged"]) for answer in answers} == {
        (DECLARED - THERE, THERE)
    }, answers
    what = f"plan for {DECLARED} declared Nodes, {THERE} there"
    ours = statistics.median(answer["seconds"] for answer in answers)
    yield Row(what, ours, "kubectl get nodes -o json", statistics.median(kubectl), 3)
    yield Row(
        f"{what}: memory",
        max(answer["peak"] for answer in answers),
        "allowed",
        MAX_MB,
        1,
        unit="MB",
    )


def _roster(cluster: Cluster, bare: Bare, declared: settings.Settings, name: str) -> Line:
    access = roster.RosterAccess(declared.key_directory, str(cluster.root / "known_hosts"))

    def ours() -> None:
        assert list(roster.entries(lambda: cluster.kube, declared, name, "glob", access)) == [name]

    bare.connect()
    taken, peer = in_turns(10 * REPEATS, ours, lambda: bare.get(f"{NODES}/{name}"))
    what = f"roster for one undeclared Node among {DECLARED}"
    return Row(what, taken * 1000, "the bare request", peer * 1000, 2, unit="ms")


def _compiled(master: Master) -> Line:
    """Return the time of Salt's part of a large plan, which has no peer."""
    import salt.config

    from metalk8s_expand.clients.salt.pillar import declared_pillar

    master.declare(pillar(DECLARED))
    opts = salt.config.master_config(str(master.base / "master"))
    return Figure(
        f"compiling and parsing the pillar of {DECLARED} nodes",
        timed(lambda: settings.parse(declared_pillar(opts))),
    )
