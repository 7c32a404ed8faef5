"""Test the removal of a node with a real etcd and a real API server.

The tests cover leadership, the guard, disruption budgets, and the deletion of the Node by its UID.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.clients.kubernetes import evictions
from metalk8s_expand.clients.kubernetes.evictions import Eviction
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.commands import remove_node
from metalk8s_expand.commands.context import CommandContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import manifest, ownership_record, roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.plan import RemovalOptions
from metalk8s_expand.errors import ConflictError, DeadlineError, DeployError, QuorumError
from metalk8s_expand.removal import discovery, drain, etcd_member, host_reset
from metalk8s_expand.runs import context as run_context
from metalk8s_expand.runs.context import RunContext
from metalk8s_expand.runs.progress import Progress
from tests.fakes.journal import FakeJournal
from tests.fakes.keys import FakeKeys
from tests.fakes.lock import FakeLock
from tests.integration.apiserver import ApiServer
from tests.integration.daemons import eventually
from tests.integration.etcd_host import Host, is_up, voters

NAMESPACE = "leaving"


def by_leadership(trio: list[Host]) -> tuple[Host, Host, Host]:
    """Return the leader first, then the followers."""
    first, second, third = sorted(trio[:3], key=lambda host: not host.leads())
    return first, second, third


def own(host: Host) -> Any:
    """Return a function that finds the member of a host."""

    def find(members: Sequence[Member]) -> Member | None:
        return next((member for member in members if member.name == host.name), None)

    return find


def test_leader_transfers_leadership_before_removal(trio: list[Host]) -> None:
    leader, second, third = by_leadership(trio)
    etcd = second.etcd([third], own=True)
    second.put("before", "kept")
    assert etcd_member.transfer_leadership(etcd, own(leader), leader.name, lambda: None, Clock())
    assert not leader.leads()
    assert not etcd_member.transfer_leadership(
        etcd, own(leader), leader.name, lambda: None, Clock()
    )
    assert etcd_member.remove_member(etcd, own(leader), leader.name, lambda: None, Clock())
    eventually("two voters", lambda: voters(second) == sorted([second.name, third.name]))
    assert not etcd_member.remove_member(etcd, own(leader), leader.name, lambda: None, Clock())
    assert third.get("before") == "kept"


def test_dead_member_is_removed_and_second_removal_is_refused(trio: list[Host]) -> None:
    leader, second, third = by_leadership(trio)
    third.power_off()
    etcd = leader.etcd([second], own=True)
    with pytest.raises(QuorumError, match="would have 2 voters and need 2 healthy"):
        wait_until(Wait("the guard", 1.0, error=QuorumError), lambda: guard(etcd, second), Clock())
    assert etcd_member.remove_member(etcd, own(third), third.name, lambda: None, Clock())
    eventually("two healthy voters", is_up(leader, [leader, second]))


def guard(etcd: Any, host: Host) -> list[str]:
    """Return the problems that the guard reports right before the change."""
    members = etcd.members()
    member = own(host)(members)
    return etcd_member.quorum.remove_problems(members, member.id)


def test_cluster_of_two_members_shrinks_to_single_member(trio: list[Host]) -> None:
    leader, second, third = by_leadership(trio)
    etcd = leader.etcd([], own=True)
    for leaving in (third, second):
        etcd_member.remove_member(etcd, own(leaving), leaving.name, lambda: None, Clock())
        leaving.power_off()
        leaving.wipe()
    assert voters(leader) == [leader.name]
    assert guard(etcd, leader)


def test_member_removed_and_wiped_joins_again_immediately(trio: list[Host]) -> None:
    leader, second, third = by_leadership(trio)
    etcd = leader.etcd([second], own=True)
    etcd_member.remove_member(etcd, own(third), third.name, lambda: None, Clock())
    third.power_off()
    third.wipe()
    third.files.config.unlink()
    third.manifest.unlink()
    third.power_on()
    third.files.data.mkdir()
    third.deploy([leader, second])
    assert voters(leader) == [host.name for host in sorted(trio[:3], key=lambda host: host.name)]


# A whole removal; only the host and Salt's keys are fakes.

SAID: dict[str, Any] = {
    "machine_id": "m", "names": [], "master_key": "", "authority": False, "api_server": False,
    "services": [], "traces": [], "containers": 0,
}  # fmt: skip


@pytest.fixture
def cluster(trio: list[Host], tmp_path: Path) -> Iterator[Kube]:
    """Create a Node for each of three members; the API server uses the first member's etcd."""
    (tmp_path / "api").mkdir()
    server = ApiServer(trio[0], tmp_path / "api")
    try:
        server.wait()
        kube = Kube.from_kubeconfig(str(server.admin))
        for host in trio[:3]:
            labels = dict.fromkeys(roles.label_keys(("master", "etcd")), "")
            kube.create_node({"metadata": {"name": host.name, "labels": labels}})
            status = {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"machineID": "m"},
            }
            kube.merge_patch(f"/api/v1/nodes/{host.name}/status", {"status": status})
        eventually("kube-system", lambda: kube.get("/api/v1/namespaces/kube-system"))
        record = {
            "metadata": {"name": ownership_record.NAME},
            "data": {trio[2].name: '{"labels":["a"],"taints":[],"uid":""}', "other": "{}"},
        }
        kube.create_config_map(ownership_record.NAMESPACE, record)
        yield kube
    finally:
        server.stop()


def test_removal_executes_all_steps_and_second_removal_is_empty(
    cluster: Kube, trio: list[Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, others = trio[2], trio[:2]
    calls: list[str] = []

    def ask(
        world: Any, settings: Any, node: Node, mode: str, epoch: int | None = None
    ) -> dict[str, Any]:
        if mode == host_reset.LOOK:
            return (
                SAID
                if "retire" in calls
                else {
                    **SAID,
                    "names": [node.name],
                    "services": ["kubelet"],
                    "api_server": not calls,
                }
            )
        calls.append(mode)
        if mode == host_reset.RETIRE:
            leaving.power_off()
        return {"changes": [mode], "left": [], "failed": [], "refused": ""}

    monkeypatch.setattr(host_reset, "ask", ask)
    master_keys = FakeKeys({leaving.name: ("minions", "key")})
    monkeypatch.setattr(discovery.keys, "Keys", lambda opts: master_keys)
    monkeypatch.setattr(discovery, "etcd_of_others", lambda *_: others[0].etcd(others, own=True))
    declared = Settings(
        nodes={
            leaving.name: Node(leaving.name, "2", ("master", "etcd"), (), address=leaving.address)
        }
    )
    world = ClusterContext(
        {"id": "lab_master", "cachedir": str(tmp_path), "pki_dir": str(tmp_path)}, cluster
    )

    @contextlib.contextmanager
    def exclusive_run(ctx: CommandContext, *_: Any) -> Iterator[RunContext]:
        lock: Any = FakeLock(ctx.clock)
        journal: Any = FakeJournal()
        yield RunContext(world, ctx.clock, ctx.progress, lock, journal, lambda: "")

    monkeypatch.setattr(remove_node, "exclusive_run", exclusive_run)
    monkeypatch.setattr(CommandContext, "settings", lambda ctx: declared)
    monkeypatch.setattr(run_context.etcd_snapshot, "take_etcd_snapshot", lambda *_: None)

    def remove(options: RemovalOptions) -> dict[str, Any]:
        clock = Clock()
        progress = Progress(world.opts, clock)
        ctx = CommandContext(world.opts, clock, progress, None, None, lambda opts: world)  # type: ignore[arg-type]
        return remove_node.remove_node(ctx, leaving.name, options)

    with pytest.raises(ConflictError, match="refused"):
        remove(RemovalOptions(force=True))
    assert sorted(voters(others[0])) == sorted(host.name for host in trio[:3])
    outcome = remove(RemovalOptions())
    [report] = outcome["nodes"]
    assert report["ok"], report["error"]
    done = [step["name"] for step in report["steps"] if step["name"] != "leadership"]
    assert done == ["guard", "cordon", "api_server", "member", "retire", "key", "node"]
    assert calls == ["withdraw", "retire"]
    assert sorted(voters(others[0])) == sorted(host.name for host in others)
    assert cluster.node(leaving.name) is None
    assert (cluster.config_map(ownership_record.NAMESPACE, ownership_record.NAME) or {})[
        "data"
    ] == {"other": "{}"}
    again = remove(RemovalOptions())
    assert again["unchanged"]
    assert calls == ["withdraw", "retire"]


# The API. Its etcd has the addresses of the hosts above, so the tests below do not use them.


@pytest.fixture(scope="module")
def kube(server: ApiServer) -> Iterator[Kube]:
    """Return an administrator's client; create a namespace for Pods without a controller."""
    found = Kube.from_kubeconfig(str(server.admin))
    found.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    eventually("namespace", lambda: found.get(f"/api/v1/namespaces/{NAMESPACE}"))
    found.create(
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "nobody"}}
    )
    yield found
    found.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


@pytest.fixture
def node(kube: Kube, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create a Node named like its test, and delete it with its Pods."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50].rstrip("-")
    kube.create_node({"metadata": {"name": name}})
    yield name
    for pod in evictions.pods_on(kube, name):
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"
        kube.request("DELETE", path, {"gracePeriodSeconds": 0})
    kube.request("DELETE", f"/api/v1/nodes/{name}")


def make_pod(kube: Kube, node: str, name: str, owner: str = "ReplicaSet") -> dict[str, Any]:
    """Create a Pod with the status that the kubelet of its Node would report."""
    owners = (
        [{"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "u", "controller": True}]
        if owner
        else []
    )
    spec = {
        "nodeName": node, "serviceAccountName": "nobody", "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "x"}],
    }  # fmt: skip
    body = {
        "metadata": {"name": name, "labels": {"app": node}, "ownerReferences": owners},
        "spec": spec,
    }
    made = kube.create(f"/api/v1/namespaces/{NAMESPACE}/pods", body)
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    kube.merge_patch(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status", {"status": running})
    return made


def make_budget(kube: Kube, node: str, name: str, allowed: int) -> str:
    """Create a disruption budget with the status of its controller; no controller runs here."""
    base = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": node}}}
    kube.create(base, {"metadata": {"name": name}, "spec": spec})
    allow(kube, name, allowed)
    return name


def allow(kube: Kube, name: str, allowed: int) -> None:
    """Set the number of allowed disruptions."""
    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{name}"
    generation = (kube.get(path) or {})["metadata"]["generation"]
    status = {
        "disruptionsAllowed": allowed,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
    }
    kube.merge_patch(f"{path}/status", {"status": {**status, "observedGeneration": generation}})


def emptied(kube: Kube, node: str, timeout: float = 10.0, told: list[str] | None = None) -> int:
    """Run the drain step without a lock."""
    tell = (told if told is not None else []).append
    return drain.drain_node(kube, node, Allowed(), timeout, lambda: None, tell, Clock())


def test_drain_waits_for_disruption_budget(kube: Kube, node: str) -> None:
    pod = make_pod(kube, node, f"web-{node}")
    budget = make_budget(kube, node, f"web-{node}", 0)
    answer, reason = evictions.evict(kube, pod)
    assert answer is Eviction.WAIT
    assert "disruption budget" in reason
    with pytest.raises(DeadlineError, match="is blocked: Cannot evict pod"):
        emptied(kube, node, 2.0)
    allow(kube, budget, 1)
    told: list[str] = []
    assert emptied(kube, node, told=told) == 1
    assert evictions.pods_on(kube, node) == []
    assert emptied(kube, node) == 0


def test_two_disruption_budgets_are_reported_together(kube: Kube, node: str) -> None:
    make_pod(kube, node, f"web-{node}")
    for name in ("a", "b"):
        make_budget(kube, node, f"{name}-{node}", 1)
    with pytest.raises(DeployError, match="more than one PodDisruptionBudget"):
        emptied(kube, node)


def test_drain_keeps_daemon_set_pod_and_refuses_bare_pod(kube: Kube, node: str) -> None:
    make_pod(kube, node, f"ds-{node}", "DaemonSet")
    assert emptied(kube, node) == 0
    make_pod(kube, node, f"bare-{node}", "")
    with pytest.raises(drain.PodsRefusedError, match="may not be evicted"):
        emptied(kube, node)


def test_pod_with_other_uid_is_gone(kube: Kube, node: str) -> None:
    pod = make_pod(kube, node, f"web-{node}")
    pod["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    assert evictions.evict(kube, pod)[0] is Eviction.GONE
    assert (
        evictions.evict(kube, {"metadata": {**pod["metadata"], "name": "absent"}})[0]
        is Eviction.GONE
    )


def test_node_is_cordoned_and_deleted_by_uid(kube: Kube, node: str) -> None:
    found = kube.node(node)
    assert found is not None
    uid = manifest.uid(found)
    with pytest.raises(ConflictError):
        evictions.cordon(kube, node, "00000000-0000-0000-0000-000000000000", {})
    evictions.cordon(kube, node, uid, {manifest.CORDONED: "true"})
    assert manifest.is_cordoned_by_us(kube.node(node) or {}), (
        "expand takes it back when the removal is given up"
    )
    with pytest.raises(ConflictError):
        kube.delete_node(node, "00000000-0000-0000-0000-000000000000")
    assert kube.node(node) is not None
    assert kube.delete_node(node, uid)
    assert not kube.delete_node(node, uid)


def test_volume_attachments_and_local_claims_are_listed(kube: Kube, node: str) -> None:
    base = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": f"va-{node}"},
    }
    spec = {
        "attacher": "csi.example.com",
        "nodeName": node,
        "source": {"persistentVolumeName": "pv-far"},
    }
    kube.create(evictions.ATTACHMENTS, {**base, "spec": spec})
    assert evictions.attachments(kube, node) == ["pv-far"]
    kube.request("DELETE", f"{evictions.ATTACHMENTS}/va-{node}")
    assert drain.wait_for_volume_detach(kube, node, lambda: None, Clock()) == ""
    assert evictions.local_claims(kube, [(NAMESPACE, "absent")]) == frozenset()
