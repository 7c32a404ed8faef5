"""A removal plan holds the steps that the inventory needs, and all refusals together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.removal import blockers, drain_rules, leftover_credentials
from metalk8s_expand.domain.removal import plan as removal
from metalk8s_expand.domain.removal.drain_rules import Allowed
from metalk8s_expand.domain.removal.node_inventory import HostInventory, NodeInventory
from metalk8s_expand.domain.removal.plan import RemovalOptions, RemovalPlan
from metalk8s_expand.domain.reports.removal import render_removal_plan
from metalk8s_expand.domain.reports.terminal.document import text_of
from tests.fakes.inventories import BLANK, LIVES
from tests.fakes.pods import EMPTY, pod

MASTER = ("master", "etcd")
FORCE = RemovalOptions(force=True)
SILENT = HostInventory(silence="no answer")


def node(
    name: str = "cp-1", node_roles: tuple[str, ...] = MASTER, ready: str = "True", **spec: Any
) -> dict[str, Any]:
    labels = dict.fromkeys(roles.label_keys(node_roles), "")
    status = {"conditions": [{"type": "Ready", "status": ready}], "nodeInfo": {"machineID": "m"}}
    return {
        "metadata": {"name": name, "uid": "u", "labels": labels},
        "spec": spec,
        "status": status,
    }


def member(number: int, name: str, healthy: bool | None = True, **changes: Any) -> Member:
    fields: dict[str, Any] = {
        "healthy": healthy,
        "cluster_id": 7,
        "raft_index": 5,
        "applied_index": 5,
    }
    return Member(number, name, (f"https://10.0.0.{number}:2380",), **{**fields, **changes})


VOTERS = (member(1, "boot"), member(2, "cp-1"), member(3, "cp-2"))


def found(**changes: Any) -> NodeInventory:
    """Return the inventory of a healthy control-plane node with these changes."""
    fields: dict[str, Any] = {
        "name": "cp-1", "node": node(), "members": VOTERS, "leader": 1, "key": "minions", "host": HostInventory(LIVES),
        "pods": (pod(),), "masters": ("boot", "cp-2"), "master_key": "key",
    }  # fmt: skip
    return NodeInventory(**{**fields, **changes})


def worker(**changes: Any) -> NodeInventory:
    said = {**LIVES, "names": ["w-1"], "api_server": False}
    return found(
        **{
            "name": "w-1",
            "node": node("w-1", ("node",)),
            "host": HostInventory(said),
            "members": VOTERS,
            **changes,
        }
    )


def dead(**changes: Any) -> NodeInventory:
    members = (member(1, "boot"), member(2, "cp-1", None), member(3, "cp-2"))
    return found(**{"node": node(ready="Unknown"), "host": SILENT, "members": members, **changes})


def names(plan: RemovalPlan) -> list[str]:
    return [step.name for step in plan.steps]


def built(state: NodeInventory, options: RemovalOptions | None = None) -> RemovalPlan:
    return removal.build_removal_plan(state, options or RemovalOptions())


def test_plan_of_etcd_leader_has_every_step_in_order() -> None:
    plan = built(found(leader=2))
    assert names(plan) == [step.name for step in removal.STEPS]
    assert names(plan)[0] == removal.GUARD
    assert names(plan)[-1] == removal.NODE
    assert all(step.reason for step in plan.steps)


def test_plan_of_worker_has_no_etcd_steps() -> None:
    assert names(built(worker())) == ["guard", "cordon", "drain", "retire", "key", "node"]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"node": node(unschedulable=True)}, {"cordon"}),
        ({"pods": (pod("ds", "DaemonSet"),)}, {"drain"}),
        ({"leader": 1}, {"leadership"}),
        ({"members": (VOTERS[0], VOTERS[2]), "leader": 1}, {"leadership", "member"}),
        ({"host": HostInventory({**LIVES, "api_server": False})}, {"api_server"}),
        ({"host": HostInventory(BLANK)}, {"api_server", "retire", "drain"}),
        ({"key": ""}, {"key"}),
        ({"node": None}, {"cordon", "drain", "node"}),
    ],
)
def test_plan_leaves_out_finished_steps(changes: dict[str, Any], missing: set[str]) -> None:
    plan = built(found(**{"leader": 2, **changes}))
    assert not plan.refused
    assert {step.name for step in removal.STEPS} - set(names(plan)) == missing | (
        {"leadership"} if "leader" in changes else set()
    )


def test_plan_of_recorded_node_deletes_the_record() -> None:
    gone = NodeInventory(
        "w-1",
        recorded=True,
        declared=Node("w-1", "2", ("node",), ()),
        host=HostInventory({**BLANK, "names": []}),
    )
    assert names(built(gone)) == ["guard", "node"]


DECLARED = Node("w-1", "2", ("node",), (), address="10.0.0.9")


@pytest.mark.parametrize(
    "gone",
    [
        NodeInventory("w-1", declared=DECLARED, host=SILENT, members=VOTERS),
        NodeInventory("w-1", declared=DECLARED, host=HostInventory(BLANK), members=VOTERS),
        NodeInventory(
            "w-1", declared=DECLARED, host=HostInventory({**LIVES, "names": ["x"]}), members=VOTERS
        ),
        NodeInventory("w-1", removed=True, members=VOTERS),
    ],
    ids=["silent", "blank", "another's host", "removed before"],
)
def test_plan_of_absent_node_is_empty(gone: NodeInventory) -> None:
    for options in (RemovalOptions(), FORCE):
        plan = built(gone, options)
        assert plan.empty
        assert "Nothing to do" in text_of(render_removal_plan(plan.as_dict()))


def test_host_that_returns_after_removal_is_wiped() -> None:
    back = NodeInventory(
        "w-1", declared=DECLARED, host=HostInventory({**LIVES, "names": ["w-1"]}), members=VOTERS
    )
    assert names(built(back)) == ["guard", "api_server", "retire"]


def test_volumes_of_the_storage_operator_are_named_unless_the_operator_allows_them() -> None:
    state = worker(volumes=("data-1", "data-2"))
    [refusal] = built(state).refused
    assert refusal.kind == blockers.VOLUMES
    assert "the Volumes data-1, data-2 on its disks" in refusal.text
    assert "volumes=True" in refusal.text
    allowed = built(state, RemovalOptions(allowed=Allowed(volumes=True)))
    assert allowed.steps == built(worker()).steps


def test_volumes_of_a_dead_node_are_named_also_with_force() -> None:
    assert kinds(dead(volumes=("data-1",)), FORCE) == [blockers.VOLUMES]
    both = RemovalOptions(force=True, allowed=Allowed(volumes=True))
    assert built(dead(volumes=("data-1",)), both).steps


def test_volumes_of_a_removed_node_refuse_nothing() -> None:
    gone = NodeInventory("w-1", declared=DECLARED, host=SILENT, volumes=("data-1",))
    assert built(gone).empty


def kinds(state: NodeInventory, options: RemovalOptions | None = None) -> list[str]:
    plan = built(state, options)
    assert not (plan.refused and plan.steps)
    return [refusal.kind for refusal in plan.refused]


@pytest.mark.parametrize(
    ("state", "options", "kind"),
    [
        (NodeInventory("x", members=VOTERS), RemovalOptions(), blockers.UNKNOWN),
        (NodeInventory("x", members=VOTERS), FORCE, blockers.UNKNOWN),
        (
            found(node=node(node_roles=("bootstrap", "master", "etcd"))),
            RemovalOptions(),
            blockers.BOOTSTRAP,
        ),
        (found(is_salt_master=True), RemovalOptions(), blockers.BOOTSTRAP),
        (found(is_ca=True), RemovalOptions(), blockers.BOOTSTRAP),
        (
            found(host=HostInventory({**LIVES, "authority": True})),
            RemovalOptions(),
            blockers.BOOTSTRAP,
        ),
        (found(masters=()), RemovalOptions(), blockers.BOOTSTRAP),
        (dead(masters=()), FORCE, blockers.BOOTSTRAP),
        (
            found(members=(VOTERS[0], VOTERS[1], member(3, "cp-2", None))),
            RemovalOptions(),
            blockers.QUORUM,
        ),
        (
            dead(members=(VOTERS[0], member(2, "cp-1", None), member(3, "cp-2", False))),
            FORCE,
            blockers.QUORUM,
        ),
        (dead(), RemovalOptions(), blockers.UNREACHED),
        (
            found(host=HostInventory({**LIVES, "names": ["cp-1", "cp-2"]})),
            RemovalOptions(),
            blockers.HOST,
        ),
        (
            found(host=HostInventory({**LIVES, "machine_id": "other"})),
            RemovalOptions(),
            blockers.HOST,
        ),
        (
            found(host=HostInventory({**LIVES, "master_key": "other"})),
            RemovalOptions(),
            blockers.HOST,
        ),
        (found(host=HostInventory({**LIVES, "names": []})), RemovalOptions(), blockers.HOST),
        (found(pods=(pod("p", "ReplicaSet", EMPTY),)), RemovalOptions(), blockers.PODS),
        (dead(host=HostInventory(LIVES)), FORCE, blockers.HOST),
        (dead(host=HostInventory(silence="key refused", answers=True)), FORCE, blockers.HOST),
        (dead(node=node()), FORCE, blockers.HOST),
        (dead(members=VOTERS), FORCE, blockers.HOST),
    ],
)
def test_removal_is_refused_with_kind_of_blocker(
    state: NodeInventory, options: RemovalOptions, kind: str
) -> None:
    assert kind in kinds(state, options)


def test_refusals_are_all_reported_together() -> None:
    state = found(
        masters=(),
        pods=(pod("a", ""), pod("b", "", EMPTY)),
        members=(VOTERS[0], VOTERS[1], member(3, "cp-2", None)),
    )
    assert set(kinds(state)) == {blockers.BOOTSTRAP, blockers.QUORUM, blockers.PODS}
    assert len(kinds(state)) >= 5
    assert text_of(render_removal_plan(built(state).as_dict())).count("REFUSED") == len(
        kinds(state)
    )


def test_allowed_losses_are_no_obstacle() -> None:
    assert not built(
        found(pods=(pod("b", "", EMPTY),)), RemovalOptions(allowed=Allowed(True, True, True))
    ).refused


FIVE = (*VOTERS, member(4, "cp-3", False, error="refused"), member(5, "cp-4"))


def test_plan_shows_tolerance_before_and_after() -> None:
    """Of five voters one is dead: the removal of a healthy one leaves none to spare."""
    plan = built(found(members=FIVE)).as_dict()
    assert plan["guard"] == {
        "agrees": True,
        "problems": [],
        "etcd": {
            "before": {"voters": 5, "healthy": 4, "needed": 3, "failures": 1},
            "after": {"voters": 4, "healthy": 3, "needed": 3, "failures": 0},
        },
        "api_servers": ["boot", "cp-2"],
    }
    assert text_of(render_removal_plan(plan)).splitlines()[2:5] == [
        "The guard agrees.",
        "  etcd before: 5 voters, 4 healthy, 3 needed: tolerates 1 further failure",
        "  etcd after: 4 voters, 3 healthy, 3 needed: tolerates no further failure",
    ]


def test_plan_shows_refusal_of_guard_with_tolerance() -> None:
    ill = (member(1, "boot"), member(2, "cp-1"), member(3, "cp-2", False, error="refused"))
    plan = built(found(members=ill)).as_dict()
    shown = text_of(render_removal_plan(plan))
    assert plan["guard"]["agrees"] is False
    assert plan["guard"]["problems"] == plan["refused"]
    assert "The guard refuses." in shown.splitlines()
    assert "  etcd after: 2 voters, 1 healthy, 2 needed: has no quorum" in shown.splitlines()
    assert shown.count("without cp-1") == 1


def test_last_member_leaves_no_voter() -> None:
    plan = built(found(members=VOTERS[1:2], leader=2)).as_dict()
    after = {"voters": 0, "healthy": 0, "needed": 1, "failures": -1}
    assert (plan["guard"]["agrees"], plan["guard"]["etcd"]["after"]) == (False, after)


def test_plan_of_worker_keeps_tolerance() -> None:
    plan = built(worker()).as_dict()
    assert (plan["guard"]["agrees"], plan["guard"]["etcd"]) == (True, None)
    assert "the node has no member" in text_of(render_removal_plan(plan))


def test_refusal_for_pods_shows_guard_that_agrees() -> None:
    plan = built(worker(pods=(pod("b", "", EMPTY),))).as_dict()
    assert plan["refused"]
    assert plan["guard"]["agrees"] is True


def test_plan_with_force_does_not_contact_dead_host() -> None:
    plan = built(dead(pods=(pod("b", "", EMPTY),)), FORCE)
    assert (names(plan), plan.given_up) == (["guard", "cordon", "member", "key", "node"], True)


def test_blank_host_of_same_machine_needs_no_force() -> None:
    for options in (RemovalOptions(), FORCE):
        plan = built(dead(host=HostInventory(BLANK), pods=(pod("b", "", EMPTY),)), options)
        assert (names(plan), plan.given_up) == (["guard", "cordon", "member", "key", "node"], False)


def test_new_machine_at_address_of_dead_host_is_not_contacted() -> None:
    plan = built(dead(host=HostInventory({**BLANK, "machine_id": "new"})), FORCE)
    assert (names(plan), plan.given_up) == (["guard", "cordon", "member", "key", "node"], True)


def test_member_that_never_started_is_found_by_address() -> None:
    unstarted = dataclasses.replace(member(9, ""), learner=True, healthy=None)
    state = found(
        declared=Node("cp-1", "2", MASTER, (), address="10.0.0.9"),
        members=(VOTERS[0], unstarted),
        node=None,
    )
    assert state.member == unstarted
    assert "member" in names(built(state))


def test_digest_changes_with_inventory() -> None:
    assert built(found()).digest == built(found()).digest
    assert built(found()).digest != built(found(key="")).digest
    assert built(found()).as_dict()["digest"] == built(found()).digest


def test_credentials_of_lost_host_depend_on_its_roles() -> None:
    of_worker, of_master = (
        leftover_credentials.credentials(("node",)),
        leftover_credentials.credentials(MASTER),
    )
    assert not any("sa.key" in item or "etcd" in item for item in of_worker)
    assert any("kubelet-client" in item for item in of_worker)
    for word in ("sa.key", "encryption.conf", "apiserver-etcd-client", "etcd-peer", "minion"):
        assert any(word in item for item in of_master), word
    assert "without force" in leftover_credentials.advice("cp-1", MASTER)[-1]


def test_roles_are_union_of_declaration_and_member() -> None:
    declared = Node("cp-1", "2", ("master",), ())
    assert NodeInventory("cp-1", declared=declared, members=VOTERS).roles == ("master", "etcd")
    assert drain_rules.leaving([]) == []
