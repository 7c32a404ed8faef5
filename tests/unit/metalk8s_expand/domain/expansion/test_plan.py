"""A plan holds needed steps with reasons, and refusals; its digest changes with the cluster."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.expansion import plan
from metalk8s_expand.domain.expansion.plan import Condition
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.domain.node.roles import PROFILES
from metalk8s_expand.domain.node.spec import Node, Ssh
from metalk8s_expand.domain.reports.plan import render_plan
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.errors import SettingsError

ALL = ["check_ssh", "preflight", "register", "deploy", "verify", "uncordon"]
DEPLOYED_AGAIN = ["check_ssh", "preflight", "deploy", "verify"]


def node(name: str, profile: str, **changes: Any) -> Node:
    chosen = PROFILES[profile]
    fields = {
        "version": "1",
        "roles": chosen.roles,
        "taints": chosen.taints,
        "ssh": Ssh("10.0.0.1"),
        "address": "10.0.0.1",
        **changes,
    }
    return Node(name=name, profile=profile, **fields)


def ready(wanted: Node, status: str = "True", body: Any = manifest.manifest) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": status, "reason": "KubeletNotReady"}]
    return {
        **body(wanted),
        "status": {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.34.4"}},
    }


DECLARED = {
    n.name: n
    for n in (
        node("w-2", "worker"),
        node("cp-2", "control-plane"),
        node("cp-1", "control-plane"),
        node("w-1", "infra"),
    )
}
W = DECLARED["w-1"]


def declared(nodes: dict[str, Node] = DECLARED, **more: Any) -> Settings:
    return Settings(nodes=nodes, **more)


HEALTHY, ILL = Condition(), Condition(("Pod kube-system/etcd-w-1 does not exist",))


def steps(found: Any, condition: Condition | None = None) -> list[str]:
    return [step.name for step in plan.node_plan(W, found, condition).steps]


def test_steps_have_one_order() -> None:
    assert [step.name for step in plan.STEPS] == [*ALL[:3], "reconnect", "prepare", *ALL[3:]]


def test_waves_keep_the_declared_order() -> None:
    found = plan.build_plan(declared(), {})
    assert [p.node.name for p in found.control_plane] == ["cp-2", "cp-1"]
    assert [p.node.name for p in found.workers] == ["w-2", "w-1"]
    assert all(
        [step.name for step in p.steps] == ALL and all(step.reason for step in p.steps)
        for p in found.nodes
    )
    assert not found.empty
    assert [wave.as_dict() for wave in found.waves] == [
        {"title": "control plane", "at_once": 1, "nodes": ["cp-2", "cp-1"]},
        {"title": "then workers", "at_once": 10, "nodes": ["w-2", "w-1"]},
    ]
    # A deployment with a preparation adds learners, which cost no quorum.
    prepared = found.prepared_first(["cp-1", "cp-2"])
    assert [wave.title for wave in prepared.waves] == ["control plane", "workers"]


def test_refused_node_is_in_no_wave() -> None:
    found = plan.build_plan(declared(), {"w-1": ready(node("w-1", "worker"))}, ["w-1"])
    assert (found.waves, [p.node.name for p in found.refused]) == ((), ["w-1"])


def test_plan_without_names_keeps_remaining_nodes() -> None:
    found = plan.build_plan(declared(), {}).without(["cp-2", "w-1"])
    assert [p.node.name for p in found.nodes] == ["cp-1", "w-2"]
    assert found.waves[1].at_once == 10


def test_plan_knows_which_nodes_it_deploys() -> None:
    conditions = {"w-1": Condition(minion="no key")}
    found = plan.build_plan(declared(), {"w-1": ready(W)}, ["w-1", "w-2"], conditions)
    assert found.deploying == {"w-2"}
    assert [p.node.name for p in found.only(found.deploying).nodes] == ["w-2"]
    assert {p.node.name: p.deployed for p in found.nodes} == {"w-1": True, "w-2": False}


def test_plan_covers_named_nodes_only() -> None:
    assert [p.node.name for p in plan.build_plan(declared(), {}, ["w-1"]).nodes] == ["w-1"]
    with pytest.raises(SettingsError, match="did you mean w-"):
        plan.build_plan(declared(), {}, ["w-l"])


@pytest.mark.parametrize(
    ("found", "condition", "wanted"),
    [
        pytest.param(None, None, ALL, id="absent"),
        pytest.param(
            manifest.registration(W),
            None,
            ["check_ssh", "preflight", "deploy", "verify", "uncordon"],
            id="registered by us",
        ),
        pytest.param(
            manifest.manifest(W),
            None,
            ["check_ssh", "preflight", "deploy", "verify"],
            id="registered by hand",
        ),
        pytest.param(ready(W), HEALTHY, [], id="done"),
        pytest.param(
            ready(W), ILL, ["check_ssh", "preflight", "deploy", "verify"], id="deployed, ill"
        ),
        pytest.param(
            ready(W), None, ["check_ssh", "preflight", "deploy", "verify"], id="health unknown"
        ),
        pytest.param(
            ready(W, "False"),
            HEALTHY,
            ["check_ssh", "preflight", "deploy", "verify"],
            id="not ready",
        ),
        pytest.param(
            ready(W, body=manifest.registration),
            HEALTHY,
            ["verify", "uncordon"],
            id="left cordoned",
        ),
        pytest.param(
            ready(W), Condition(minion="no key"), ["reconnect", "verify"], id="minion lost"
        ),
        pytest.param(ready(W), Condition(redeploy=True), DEPLOYED_AGAIN, id="redeploy"),
        pytest.param(
            ready(W),
            Condition(minion="no key", redeploy=True),
            ["check_ssh", "preflight", "reconnect", "deploy", "verify"],
            id="redeploy, minion lost",
        ),
        pytest.param(
            ready(node("w-1", "infra", ssh=Ssh("10.0.0.9"))),
            HEALTHY,
            ["register", "verify"],
            id="drift",
        ),
    ],
)
def test_plan_has_needed_steps_only(
    found: Any, condition: Condition | None, wanted: list[str]
) -> None:
    assert steps(found, condition) == wanted


def test_cordon_of_operator_stays() -> None:
    found = ready(W)
    found["spec"]["unschedulable"] = True
    assert steps(found, HEALTHY) == []


def test_plan_of_deployed_nodes_is_empty() -> None:
    found = plan.build_plan(
        declared(),
        {name: ready(n) for name, n in DECLARED.items()},
        conditions=dict.fromkeys(DECLARED, HEALTHY),
    )
    assert found.empty
    assert found.unchanged == tuple(DECLARED)


def shown(data: Mapping[str, Any]) -> str:
    """Return the text of a plan in a wide terminal, where no line wraps."""
    return text_of(render_plan({**data, "refusal": None}), 200)


def test_problems_of_a_node_are_shown_and_do_not_change_the_digest() -> None:
    observed = {"w-1": ready(W)}
    first = plan.build_plan(declared(), observed, ["w-1"], {"w-1": ILL})
    other = Condition(("the API server at 10.0.0.1:6443 does not answer: timed out",))
    second = plan.build_plan(declared(), observed, ["w-1"], {"w-1": other})
    assert first.workers[0].problems == ILL.problems
    assert f"found: {ILL.problems[0]}" in shown(first.as_dict())
    assert first.digest == second.digest
    assert plan.differences(first.as_dict(), second) == []


@pytest.mark.parametrize("condition", [None, HEALTHY])
def test_role_change_of_deployed_node_is_refused(condition: Condition | None) -> None:
    found = plan.node_plan(W, ready(node("w-1", "worker")), condition)
    assert found.refused is not None
    assert "roles of a deployed node" in found.refused
    assert (found.steps, bool(found.changes)) == ((), True)


@pytest.mark.parametrize(
    ("addresses", "status", "refused"),
    [
        (["10.0.0.7"], "True", True),
        (["10.0.0.7", "fd00::7"], "True", True),
        (["10.0.0.7"], "Unknown", False),
        (["fd00::1", "10.0.0.1"], "True", False),
        ([], "True", False),
    ],
)
def test_name_of_node_that_lives_elsewhere_is_refused(
    addresses: list[str], status: str, refused: bool
) -> None:
    """A host that is dead may have got another address; one that lives is another host."""
    observed = ready(W, status)
    observed["status"]["addresses"] = [
        {"type": "Hostname", "address": "w-1"},
        *({"type": "InternalIP", "address": address} for address in addresses),
    ]
    found = plan.node_plan(W, observed, HEALTHY)
    assert bool(found.refused) is refused
    if found.refused:
        assert "Ready at 10.0.0.7" in found.refused
        assert "declared at 10.0.0.1" in found.refused


def test_role_change_of_registered_node_is_planned() -> None:
    assert plan.node_plan(W, manifest.manifest(node("w-1", "worker"))).has("register")


def test_bootstrap_node_is_refused() -> None:
    observed = manifest.manifest(W)
    observed["metadata"]["labels"]["node-role.kubernetes.io/bootstrap"] = ""
    found = plan.build_plan(declared(), {"w-1": observed})
    assert [p.node.name for p in found.refused] == ["w-1"]


def test_digest_is_stable_and_changes_with_cluster() -> None:
    observed: dict[str, Any] = {"w-1": manifest.registration(W)}
    first = plan.build_plan(declared(), observed).digest
    assert plan.build_plan(declared(dict(DECLARED)), copy.deepcopy(observed)).digest == first
    observed["w-1"]["metadata"]["labels"]["node-role.kubernetes.io/etcd"] = ""
    assert plan.build_plan(declared(), observed).digest != first
    assert (
        plan.build_plan(declared(dict(reversed(DECLARED.items()))), {}).digest
        != plan.build_plan(declared(), {}).digest
    )


@pytest.mark.parametrize(
    "moved",
    [
        declared(max_parallel=3),
        declared(skip=("disk",)),
        declared(node_skip={"w-1": ("swap",)}),
        declared({**DECLARED, "w-1": node("w-1", "infra", address="10.0.0.7")}),
        declared(
            {**DECLARED, "w-1": node("w-1", "infra", ssh=Ssh("10.0.0.1", host_key="ssh-ed25519 A"))}
        ),
        declared({**DECLARED, "w-1": node("w-1", "infra", labels={"a": "b"})}),
    ],
)
def test_digest_changes_with_declaration(moved: Settings) -> None:
    before = plan.build_plan(declared(), {})
    now = plan.build_plan(moved, {})
    assert now.digest != before.digest
    assert plan.differences(before.as_dict(), now)


def test_differences_of_plans_name_each_changed_node() -> None:
    before = json.loads(json.dumps(plan.build_plan(declared(), {}, ["w-1", "w-2"]).as_dict()))
    now = plan.build_plan(
        declared(),
        {"w-1": manifest.registration(W), "w-2": ready(DECLARED["w-2"])},
        ["w-1", "w-2", "cp-1"],
        {"w-2": HEALTHY},
    )
    assert plan.differences(before, now) == [
        "node w-2: no step is needed any longer",
        "node cp-1: was not in the plan, and now needs steps",
        "node w-1: steps, changes changed",
    ]
    assert plan.differences(now.as_dict(), now) == []


def test_plan_text_has_digest_refusals_and_changes() -> None:
    observed = {"w-1": ready(node("w-1", "worker")), "w-2": ready(DECLARED["w-2"])}
    planned = plan.build_plan(declared(), observed, conditions={"w-2": HEALTHY})
    found = json.loads(json.dumps(planned.as_dict()))
    text = shown(found)
    assert found["unchanged"] == ["w-2"]
    for expected in (
        "REFUSED: w-1 is deployed",
        "check_ssh, preflight: the expansion will change the host",
        "+ metadata.labels",
        "Order: control plane one after another: cp-2, cp-1",
        f"expand plan={found['digest'][:12]}",
        "2 control-plane nodes to add, 0 to change, 1 unchanged, 1 worker refused",
    ):
        assert expected in text


def test_text_of_empty_plan_has_no_steps() -> None:
    assert "Nothing to do" in shown(plan.Plan().as_dict())


def test_text_of_plan_shows_port_that_yaml_has_read() -> None:
    """The port 022 of a YAML file is 18: the text of the file is lost before it is parsed."""
    entry = yaml.safe_load("{profile: worker, address: 10.0.0.5, ssh: {port: 022}}")
    nodes = {"w-5": entry, "w-6": {"profile": "worker", "address": "10.0.0.6", "ssh": {"port": 22}}}
    found = plan.build_plan(settings.parse({"defaults": {"version": "2"}, "nodes": nodes}), {})
    text = shown(found.as_dict())
    assert "w-5   worker   10.0.0.5 port 18  + add" in text
    assert "w-6   worker   10.0.0.6          + add" in text


def test_text_of_plan_shows_old_and_new_values() -> None:
    old = node("w-1", "infra", ssh=Ssh("10.0.0.9", port=2222))
    text = shown(
        plan.build_plan(declared(), {"w-1": ready(old)}, ["w-1"], {"w-1": HEALTHY}).as_dict()
    )
    assert "~ metadata.annotations[metalk8s.scality.com/ssh-host]: '10.0.0.9' -> '10.0.0.1'" in text
    assert "- metadata.annotations[metalk8s.scality.com/ssh-port] = '2222'" in text


def test_plan_gives_a_report_each_difference_once_with_its_nodes() -> None:
    found = plan.build_plan(declared(), {}, ["cp-1", "cp-2"]).as_report()
    assert found["unchanged_nodes"] == []
    label = "metadata.labels[node-role.kubernetes.io/master]"
    [entry] = [item for item in found["changes"] if item["path"] == label]
    assert entry == {"path": label, "found": None, "wanted": "", "nodes": ["cp-2", "cp-1"]}


class TestPreparation:
    """The step that prepares the host, where the tree of the node's version has it."""

    def build(self, prepared: Any = (), **more: Any) -> plan.Plan:
        return plan.build_plan(declared(**more), {}).prepared_first(prepared)

    def test_prepare_precedes_deploy_with_the_same_reason(self) -> None:
        found = {item.node.name: item for item in self.build({"cp-1", "w-1"}).nodes}
        for name in ("cp-1", "w-1"):
            names = [step.name for step in found[name].steps]
            assert names == [*ALL[:3], "prepare", *ALL[3:]]
            reasons = {step.name: step.reason for step in found[name].steps}
            assert reasons["prepare"] == reasons["deploy"] == "it was never deployed"
        assert [step.name for step in found["w-2"].steps] == ALL

    def test_node_without_deployment_is_not_prepared(self) -> None:
        conditions = {"w-1": Condition(minion="no key")}
        found = plan.build_plan(declared(), {"w-1": ready(W)}, ["w-1"], conditions)
        assert found.prepared_first({"w-1"}) == found

    def test_preparation_changes_the_digest(self) -> None:
        before, now = self.build(), self.build({"w-1"})
        assert before.digest == plan.build_plan(declared(), {}).digest
        assert now.digest != before.digest
        assert now.digest == self.build({"w-1"}).digest
        assert plan.differences(before.as_dict(), now) == ["node w-1: steps changed"]

    def test_preparation_is_in_the_dictionary_of_the_plan(self) -> None:
        found = json.loads(json.dumps(self.build({"w-1"}).as_dict()))
        [node_plan] = [item for item in found["workers"] if item["node"] == "w-1"]
        assert [step["name"] for step in node_plan["steps"]][3:5] == ["prepare", "deploy"]
        assert found["waves"] == self.build().as_dict()["waves"]

    @pytest.mark.parametrize(
        ("max_parallel", "prepared", "wanted"),
        [
            (10, (), 2),
            (10, DECLARED, 4),
            (10, ("cp-1",), 4),
            (1, (), 1),
            (1, DECLARED, 2),
            (2, DECLARED, 3),
            (3, DECLARED, 4),
        ],
    )
    def test_number_of_nodes_in_parallel(
        self, max_parallel: int, prepared: Any, wanted: int
    ) -> None:
        """Two of four nodes are control-plane nodes, which join one after another.

        Without a preparation the workers follow them.
        """
        assert self.build(prepared, max_parallel=max_parallel).at_once == wanted

    def test_single_node_is_one_in_parallel(self) -> None:
        found = self.build(DECLARED).only(["cp-1"])
        assert found.at_once == 1
        assert self.build().only([]).at_once == 0
        assert self.build().only(["cp-1"]).at_once == 1
