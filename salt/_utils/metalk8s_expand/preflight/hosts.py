"""Check over SSH that all hosts of an expansion meet the requirements; report all problems
together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import minions
from metalk8s_expand.clients.ssh import command as ssh
from metalk8s_expand.clients.ssh.command import CommandResult, Target
from metalk8s_expand.clients.ssh.diagnosis import error
from metalk8s_expand.clients.ssh.remote_script import run_script
from metalk8s_expand.cluster import roster
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.node.name_ranges import listed
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

__all__ = ["HostAccess", "PreflightResult", "ask_hosts", "run_host_preflight", "show_hosts"]

# More hosts than these are shown in one line of the progress.
ONE_BY_ONE = 10
Facts = dict[str, Any]
# The facts of a host and the time of its answer.
TimedFacts = tuple[Facts, float]
Sources = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class HostAccess:
    """How the preflight reaches the hosts, and the minions of the etcd members.

    ``sources`` replaces files of a host by others, by node name.
    """

    targets: Sequence[Target]
    peers: Peers | None = None
    max_parallel: int = 32
    sources: Sources = field(default_factory=dict)


def show_hosts(progress: Callable[[str, str, str], None], nodes: Sequence[Node]) -> None:
    """Show which hosts the preflight asks; many of them in one line."""
    if len(nodes) > ONE_BY_ONE:
        names = listed([node.name for node in nodes])
        progress("", plan.HOST_CHECKS, f"asking {len(nodes)} hosts: {names}")
        return
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
    targets = roster.ssh_targets(nodes, roster.access_from(world.opts, settings))
    names = [node.name for node in nodes]
    cluster_facts = collect_cluster_facts.collect_cluster_facts(world, settings, names)
    access = HostAccess(
        targets,
        minions.Minions(world.opts),
        settings.ssh_parallel,
        configured.get("probe_sources") or {},
    )
    return ask_hosts(nodes, settings, cluster_facts, access, clock)


def ask_hosts(
    nodes: Sequence[Node],
    settings: Settings,
    cluster_facts: ClusterFacts,
    access: HostAccess,
    clock: Clock,
) -> PreflightResult:
    """Run one self-contained probe on every host, in one SSH call each.

    Meanwhile ``access.peers`` try to reach the new members.
    """
    thresholds = settings.thresholds
    cluster_facts = _without(cluster_facts, nodes)
    joining = {node.name: node.address for node in nodes if node.is_etcd}
    arguments = {}
    for node in nodes:
        arguments[node.name] = _argument(node, cluster_facts, thresholds, joining, access.sources)
    source = Path(host_facts.__file__).read_text(encoding="utf-8")

    def attempt(target: Target) -> TimedFacts:
        timeout = settings.ssh_timeout + thresholds.probe_timeout_s
        answer = run_script(target, source, arguments[target.name], timeout)
        return _facts(target, answer, settings.ssh_timeout), clock.now()

    # New members listen for a while. They must listen at the same time, within the time of the
    # peers.
    first = sorted(access.targets, key=lambda target: target.name not in joining)
    window = settings.ssh_timeout + thresholds.etcd_window_s
    peer_result = etcd_ports.probe_peer_ports(
        access.peers, list(cluster_facts.etcd_peers), list(joining.values()), window, clock
    )
    answers = ssh.on_all(first, attempt, max(access.max_parallel, len(joining)))
    in_order = {target.name: answers[target.name] for target in access.targets}
    return _judged(nodes, in_order, cluster_facts, peer_result(), settings)


def _judged(
    nodes: Sequence[Node],
    answers: Mapping[str, TimedFacts | UnreachableError],
    cluster_facts: ClusterFacts,
    connectivity: etcd_ports.PeerConnectivity,
    settings: Settings,
) -> PreflightResult:
    """Check the answers of all hosts together."""
    facts: dict[str, Facts] = {}
    times: dict[str, float] = {}
    unreachable: dict[str, UnreachableError] = {}
    for name, answer in answers.items():
        if isinstance(answer, UnreachableError):
            unreachable[name] = answer
        else:
            facts[name], times[name] = answer
    hosts = []
    for node in nodes:
        if node.name not in facts:
            continue
        own, now = facts[node.name], times[node.name]
        hosts.append(
            findings.CheckContext(
                node,
                own,
                _Others(facts, node.name),
                now=now,
                surroundings=cluster_facts,
                inbound=_inbound(connectivity, node, (own, now), settings.thresholds),
                thresholds=settings.thresholds,
            )
        )
    return PreflightResult(facts, unreachable, tuple(findings.findings(hosts, settings.skipped)))


def _inbound(
    connectivity: etcd_ports.PeerConnectivity,
    node: Node,
    timed_facts: TimedFacts,
    thresholds: Thresholds,
) -> dict[str, dict[int, str]]:
    facts, now = timed_facts
    since = now - (facts.get("elapsed") or 0.0)
    return connectivity.of(node.address, since, since + thresholds.etcd_window_s)


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


def _without(cluster_facts: ClusterFacts, nodes: Sequence[Node]) -> ClusterFacts:
    """Return the cluster facts without these nodes.

    The remains of an interrupted run serve no client yet.
    """
    names, addresses = {node.name for node in nodes}, {node.address for node in nodes}
    kept = []
    for endpoint in cluster_facts.endpoints:
        if endpoint.check != endpoints.API or endpoint.host not in addresses:
            kept.append(endpoint)
    peers = {}
    for name, address in cluster_facts.etcd_peers.items():
        if name not in names:
            peers[name] = address
    return replace(cluster_facts, endpoints=tuple(kept), etcd_peers=peers)


def _argument(
    node: Node,
    cluster_facts: ClusterFacts,
    thresholds: Thresholds,
    joining: Mapping[str, str],
    sources: Sources,
) -> str:
    others = {name: address for name, address in joining.items() if name != node.name}
    return json.dumps(
        findings.request(node, cluster_facts, thresholds, others, sources.get(node.name) or {})
    )


def _facts(target: Target, answer: CommandResult, timeout: float) -> Facts:
    """Return the facts that the probe prints.

    Raises UnreachableError with the cause when it prints none, or when there is other output.
    """
    facts: Facts | None = host_facts.answer(answer.stdout)  # type: ignore[no-untyped-call]
    if facts is None:
        raise _silence(target, answer, timeout)
    lines = []
    for line in answer.stdout.splitlines():
        if line.strip() and not line.startswith(host_facts.MARK):
            lines.append(line)
    if lines:
        noise = "\n".join(lines)
        raise error(
            target,
            SSHFailure(
                "shell-noise", f"the login shell of {target.user} prints on stdout: {noise[:200]!r}"
            ),
        )
    return facts


def _silence(target: Target, answer: CommandResult, timeout: float) -> UnreachableError:
    """Return why the probe did not run.

    The diagnosis takes another call, so that healthy hosts need none.
    """
    result = check_ssh.check_ssh([target], timeout)[target.name]
    if isinstance(result, UnreachableError):
        return result
    output = answer.stderr.strip() or answer.stdout.strip() or "no output"
    return UnreachableError(
        f"the probe ended with {answer.returncode}: {output[:300]}",
        node=target.name,
        hint="log in by hand, run python3 and read its output",
        log="journalctl --unit ssh --unit sshd on the host",
    )
