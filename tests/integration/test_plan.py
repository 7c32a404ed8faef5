"""Test the plan with a real API server.

The plan changes nothing, states report the same changes, and a run makes exactly these changes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.cluster import health
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.etcd.quorum import Member
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.errors import ConflictError
from tests.fakes.etcd_members import FakeEtcd
from tests.integration.apiserver import ApiServer
from tests.integration.master import DECLARED, ROOT, Master


@pytest.fixture
def master(server: ApiServer, tmp_path: Path) -> Iterator[Master]:
    """Return a master; no declared Node exists before or after the test."""
    made = Master(server, tmp_path)
    yield made
    for name in DECLARED["nodes"]:
        ClusterContext.from_opts(made.opts).kube.request("DELETE", f"/api/v1/nodes/{name}")


def everything(master: Master) -> dict[str, str]:
    """Return the resourceVersion of each object that a plan could change."""
    kube = ClusterContext.from_opts(master.opts).kube
    paths = (
        "/api/v1/nodes",
        "/api/v1/namespaces/kube-system/configmaps",
        "/apis/coordination.k8s.io/v1/leases",
    )
    found = [(path, item["metadata"]) for path in paths for item in kube.listed(path)]
    return {
        f"{path}/{meta['name']}": meta["resourceVersion"]
        for path, meta in found
        # The API server renews its own Leases periodically.
        if not meta["name"].startswith("apiserver-")
    }


def changes(plan: dict[str, Any], name: str) -> dict[str, tuple[Any, Any]]:
    nodes = {item["node"]: item for item in plan["control_plane"] + plan["workers"]}
    return {
        change["path"]: (change["found"], change["wanted"]) for change in nodes[name]["changes"]
    }


def test_plan_changes_nothing(master: Master) -> None:
    master.commands.register("plan-gpu")
    before = everything(master)
    found = master.commands.plan(None)
    master.registered("plan-w", test=True)
    master.registered("plan-gpu", test=True)
    assert everything(master) == before
    assert [wave["nodes"] for wave in found["waves"]] == [["plan-cp"], ["plan-gpu", "plan-w"]]


def test_states_show_the_same_difference(master: Master) -> None:
    master.commands.register("plan-gpu")
    kube = ClusterContext.from_opts(master.opts).kube
    kube.merge_patch_node(
        "plan-gpu", {"metadata": {"labels": {manifest.VERSION_LABEL: "1.0", "example.com/g": "2"}}}
    )
    planned = changes(master.commands.plan(None), "plan-gpu")
    shown = master.registered("plan-gpu", test=True)
    assert shown["result"] is None
    assert {
        path: (change["old"], change["new"]) for path, change in shown["changes"].items()
    } == planned
    assert planned == {
        f"metadata.labels[{manifest.VERSION_LABEL}]": ("1.0", "2.0.0"),
        "metadata.labels[example.com/g]": ("2", "1"),
    }
    assert master.registered("plan-gpu", test=False)["changes"] == shown["changes"]
    assert master.registered("plan-gpu", test=False)["changes"] == {}


def test_orchestration_makes_changes_shown_by_dry_run(master: Master) -> None:
    """Run the states of the extension by salt-run.

    The cluster itself refuses more, because no Node has the etcd role.
    """
    shutil.copytree(ROOT / "salt" / "metalk8s_expand", master.base / "sls" / "metalk8s_expand")
    registered = {
        f"Register {name}": {"metalk8s_expand_node.registered": [{"name": name}]}
        for name in ("plan-cp", "plan-w")
    }
    (master.base / "sls" / "nodes.sls").write_text(json.dumps(registered))
    before = everything(master)
    code, shown = master.orchestrate("nodes", "test=True")
    assert (code, [state["result"] for state in shown], everything(master)) == (
        0,
        [None, None],
        before,
    )
    code, done = master.orchestrate("nodes")
    assert (code, [state["result"] for state in done]) == (0, [True, True])
    assert [state["changes"] for state in done] == [state["changes"] for state in shown] != [{}, {}]
    after = everything(master)
    for words in ((), ("test=True",)):
        code, again = master.orchestrate("nodes", *words)
        assert (code, [(state["result"], state["changes"]) for state in again]) == (
            0,
            [(True, {}), (True, {})],
        )
    for words in ((), ("test=True",)):
        code, [refused] = master.orchestrate("metalk8s_expand.expand", *words)
        assert (code, refused["result"], refused["changes"]) == (1, False, {})
        assert "no Node has the etcd role" in refused["comment"], refused
    assert {key: after[key] for key in after if "nodes" in key} == {
        key: value for key, value in everything(master).items() if "nodes" in key
    }


def test_label_and_taint_dropped_from_declaration_are_removed(master: Master) -> None:
    master.commands.register("plan-gpu")
    kube = ClusterContext.from_opts(master.opts).kube
    kube.merge_patch_node("plan-gpu", {"metadata": {"labels": {"example.com/theirs": "x"}}})
    master.declare(
        {
            **DECLARED,
            "nodes": {
                **DECLARED["nodes"],
                "plan-gpu": {"profile": "worker", "address": "192.0.2.2"},
            },
        }
    )
    planned = changes(master.commands.plan("plan-gpu"), "plan-gpu")
    assert planned == {
        "metadata.labels[example.com/g]": ("1", None),
        "spec.taints[example.com/gpu:NoSchedule]": ("a", None),
    }
    master.commands.register("plan-gpu")
    found = kube.node("plan-gpu")
    assert found is not None
    assert found["metadata"]["labels"]["example.com/theirs"] == "x"
    assert "example.com/g" not in found["metadata"]["labels"]
    assert [
        taint for taint in found["spec"].get("taints", []) if taint["key"] == "example.com/gpu"
    ] == []
    assert master.commands.register("plan-gpu")["changes"] == []


def test_plan_of_changed_cluster_is_refused(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Member(1, "boot", ("https://192.0.2.9:2380",), healthy=True, cluster_id=1)
    # The etcd of the API server belongs to no Node.
    etcd: Any = FakeEtcd(member)
    monkeypatch.setattr(health, "etcd_problems", lambda etcd: [])
    monkeypatch.setattr(
        ClusterContext, "access", lambda self: health.ClusterAccess(self.kube, etcd)
    )
    digest = master.commands.plan("plan-w")["digest"]
    assert master.commands.plan("plan-w")["digest"] == digest
    master.commands.register("plan-w")
    with pytest.raises(ConflictError, match="the plan has changed") as error:
        master.commands.expand(None, plan=digest)
    assert error.value.problems == ("node plan-w: steps, changes changed",)
