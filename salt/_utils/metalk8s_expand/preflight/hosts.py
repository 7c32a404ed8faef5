"""Check over SSH that all hosts of an expansion meet the requirements; report all problems
together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import minions
from metalk8s_expand.clients.ssh import command as ssh
from metalk8s_expand.clients.ssh.command import CommandResult, Target
from metalk8s_expand.clients.ssh.diagnosis import error
from metalk8s_expand.cluster import roster
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts
from metalk8s_expand.domain.preflight.result import PreflightResult
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.preflight import collect_cluster_facts, endpoints, etcd_ports
from metalk8s_expand.preflight import ssh as check_ssh
from metalk8s_expand.preflight.etcd_ports import Peers
from metalk8s_expand.remote import host_facts

__all__ = ["PreflightResult", "ask_hosts", "run_host_preflight", "show_hosts"]

Facts = dict[str, Any]
# The facts of a host and the time of its answer.
Told = tuple[Facts, float]
Sources = Mapping[str, Mapping[str, Any]]


def show_hosts(progress: Callable[[str, str, str], None], nodes: Sequence[Node]) -> None:
    """Show which hosts the preflight asks."""
    for node in nodes:
        progress(node.name, plan.HOST_CHECKS, f"asking {node.ssh.host}")


def run_host_preflight(
    world: ClusterContext, nodes: Sequence[Node], settings: Settings, clock: Clock
) -> PreflightResult:
    """Collect the facts of these nodes' hosts and check them together with the existing cluster.

    ``metalk8s_expand:probe_sources`` of the master's configuration replaces files of a host by
    others, by node name: for labs whose hosts share one machine.
    """
    configured = world.opts.get("metalk8s_expand") or {}
    return ask_hosts(
        nodes,
        roster.ssh_targets(nodes, roster.access_from(world.opts, settings)),
        settings,
        collect_cluster_facts.collect_cluster_facts(world, settings, [node.name for node in nodes]),
        minions.Minions(world.opts),
        clock,
        settings.ssh_parallel,
        configured.get("probe_sources") or {},
    )


def ask_hosts(
    nodes: Sequence[Node],
    targets: Sequence[Target],
    settings: Settings,
    around: ClusterFacts,
    peers: Peers | None = None,
    clock: Clock | None = None,
    max_parallel: int = 32,
    sources: Sources | None = None,
) -> PreflightResult:
    """Run one self-contained probe on every host, in one SSH call each.

    Meanwhile ``peers`` try to reach the new members.
    """
    clock = clock or Clock()
    thresholds = settings.thresholds
    around = _without(around, nodes)
    joining = {node.name: node.address for node in nodes if node.is_etcd}
    arguments = {
        node.name: _argument(node, around, thresholds, joining, sources or {}) for node in nodes
    }
    source = Path(host_facts.__file__).read_text(encoding="utf-8")

    def attempt(target: Target) -> Told:
        command = [*findings.COMMAND, arguments[target.name]]
        answer = ssh.run(
            target, command, stdin=source, timeout=settings.ssh_timeout + thresholds.probe_timeout_s
        )
        return _facts(target, answer, settings.ssh_timeout), clock.now()

    # New members listen for a while. They must listen at the same time, within the time of the
    # peers.
    first = sorted(targets, key=lambda target: target.name not in joining)
    window = settings.ssh_timeout + thresholds.etcd_window_s
    peers_said = etcd_ports.probe_peer_ports(
        peers, list(around.etcd_peers), list(joining.values()), window, clock
    )
    answers = ssh.on_all(first, attempt, max(max_parallel, len(joining)))
    return _judged(
        nodes,
        {target.name: answers[target.name] for target in targets},
        around,
        peers_said(),
        settings,
    )


def _judged(
    nodes: Sequence[Node],
    answers: Mapping[str, Told | UnreachableError],
    around: ClusterFacts,
    said: etcd_ports.PeerConnectivity,
    settings: Settings,
) -> PreflightResult:
    """Check the answers of all hosts together."""
    told = {
        name: answer for name, answer in answers.items() if not isinstance(answer, UnreachableError)
    }
    facts = {name: found for name, (found, _) in told.items()}
    hosts = [
        findings.CheckContext(
            node,
            facts[node.name],
            _Others(facts, node.name),
            now=told[node.name][1],
            surroundings=around,
            inbound=_inbound(said, node, told[node.name], settings.thresholds),
            thresholds=settings.thresholds,
        )
        for node in nodes
        if node.name in facts
    ]
    unreachable = {
        name: answer for name, answer in answers.items() if isinstance(answer, UnreachableError)
    }
    return PreflightResult(facts, unreachable, tuple(findings.findings(hosts, settings.skipped)))


def _inbound(
    said: etcd_ports.PeerConnectivity, node: Node, told: Told, thresholds: Thresholds
) -> dict[str, dict[int, str]]:
    facts, now = told
    since = now - (facts.get("elapsed") or 0.0)
    return said.of(node.address, since, since + thresholds.etcd_window_s)


class _Others(Mapping[str, Facts]):
    """The answers of all hosts but one.

    It is a view and no copy, as there is one for each of many hosts.
    """

    def __init__(self, everybody: Mapping[str, Facts], name: str) -> None:
        self._everybody = everybody
        self._name = name

    def __getitem__(self, name: str) -> Facts:
        if name == self._name:
            raise KeyError(name)
        return self._everybody[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._everybody if name != self._name)

    def __len__(self) -> int:
        return len(self._everybody) - (self._name in self._everybody)


def _without(around: ClusterFacts, nodes: Sequence[Node]) -> ClusterFacts:
    """Return the cluster facts without these nodes.

    The remains of an interrupted run serve no client yet.
    """
    names, addresses = {node.name for node in nodes}, {node.address for node in nodes}
    return dataclasses.replace(
        around,
        endpoints=tuple(
            one
            for one in around.endpoints
            if not (one.check == endpoints.API and one.host in addresses)
        ),
        etcd_peers={
            name: address for name, address in around.etcd_peers.items() if name not in names
        },
    )


def _argument(
    node: Node,
    around: ClusterFacts,
    thresholds: Thresholds,
    joining: Mapping[str, str],
    sources: Sources,
) -> str:
    others = {name: address for name, address in joining.items() if name != node.name}
    return json.dumps(
        findings.request(node, around, thresholds, others, sources.get(node.name) or {})
    )


def _facts(target: Target, answer: CommandResult, timeout: float) -> Facts:
    """Return the facts that the probe prints.

    Raises UnreachableError with the cause when it prints none, or when there is other output.
    """
    found: Facts | None = host_facts.answer(answer.stdout)  # type: ignore[no-untyped-call]
    if found is None:
        raise _silence(target, answer, timeout)
    noise = [
        line
        for line in answer.stdout.splitlines()
        if line.strip() and not line.startswith(host_facts.MARK)
    ]
    if noise:
        said = "\n".join(noise)
        raise error(
            target,
            SSHFailure(
                "shell-noise", f"the login shell of {target.user} prints on stdout: {said[:200]!r}"
            ),
        )
    return found


def _silence(target: Target, answer: CommandResult, timeout: float) -> UnreachableError:
    """Return why the probe did not run.

    The diagnosis takes another call, so that healthy hosts need none.
    """
    found = check_ssh.check_ssh([target], timeout)[target.name]
    if isinstance(found, UnreachableError):
        return found
    said = answer.stderr.strip() or answer.stdout.strip() or "no output"
    return UnreachableError(
        f"the probe ended with {answer.returncode}: {said[:300]}",
        node=target.name,
        hint="log in by hand, run python3 and read its output",
        log="journalctl --unit ssh --unit sshd on the host",
    )
