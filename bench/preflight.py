"""Measure the preflight against check_ssh of the same hosts.

The difference is the cost of all facts over the check of Python alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.rows import Row, in_turns
from bench.sshd import Hosts, running
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node.roles import PROFILES
from metalk8s_expand.domain.node.spec import Node, Ssh
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts, Endpoint
from metalk8s_expand.preflight import hosts as reach
from metalk8s_expand.preflight.ssh import Checked, check_ssh

COUNT, AT_A_TIME, ROUNDS = 100, 32, 3
DEADLINE_S = 60.0


def rows() -> Iterator[Row]:
    """Yield the row for workers: the disk test of etcd hosts is slow by intention."""
    with running() as hosts:
        targets = hosts.targets(COUNT)
        ours, peer = in_turns(
            ROUNDS, lambda: _preflight(hosts, targets), lambda: _check_ssh(targets)
        )
        yield Row(f"preflight of {COUNT} hosts", ours, "check_ssh of the same hosts", peer, 2)


def _preflight(hosts: Hosts, targets: Sequence[Target]) -> None:
    worker = PROFILES["worker"]
    nodes = [
        Node(target.name, "1", worker.roles, ssh=Ssh(target.host), address=target.host, taints=())
        for target in targets
    ]
    # Every cluster has an API server, an artifact store and a master to connect to.
    endpoints = tuple(
        Endpoint(check, check, "127.0.0.1", hosts.port)
        for check in ("api", "artifacts", "salt-master")
    )
    settings = Settings({node.name: node for node in nodes}, ssh_timeout=int(DEADLINE_S))
    found = reach.ask_hosts(
        nodes,
        settings,
        ClusterFacts(endpoints=endpoints),
        reach.HostAccess(targets, max_parallel=AT_A_TIME),
        Clock(),
    )
    if len(found.facts) != COUNT:
        raise RuntimeError(
            f"{len(found.unreachable)} hosts are unreachable:"
            f" {next(iter(found.unreachable.values()))}"
        )


def _check_ssh(targets: Sequence[Target]) -> None:
    found = check_ssh(targets, DEADLINE_S, AT_A_TIME)
    bad = [answer for answer in found.values() if not isinstance(answer, Checked)]
    if bad:
        raise RuntimeError(f"{len(bad)} hosts are not well: {bad[0]}")
