"""Tests of the cluster's configuration from a master's pillar and file and from the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import salt.config

from metalk8s_expand.clients.kubernetes.api import FORBIDDEN
from metalk8s_expand.cluster import configuration
from metalk8s_expand.cluster.configuration import cluster_version
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.configuration import CA_MINION, POD
from metalk8s_expand.errors import UnreachableError
from tests.fakes.kube import FakeKube

FILE = """\
apiVersion: metalk8s.scality.com/v1alpha3
kind: BootstrapConfiguration
networks:
  controlPlane: {cidr: 10.1.0.0/24}
  workloadPlane: {cidr: [10.2.0.0/24]}
ca: {minion: boot}
archives: [/srv/scality/metalk8s-134.0.1]
"""
NAMESPACES = "/api/v1/namespaces"
Make = Callable[..., ClusterContext]
pytestmark = pytest.mark.usefixtures("rendered_pillars")


@pytest.fixture
def world(tmp_path: Path) -> Make:
    """Return a master with this file and this pillar."""

    def made(file: str | None = FILE, pillar: Any = None, *nodes: Any) -> ClusterContext:
        place = tmp_path / "bootstrap.yaml"
        if file is not None:
            place.write_text(file)
        (tmp_path / "top.sls").write_text(json.dumps({"base": {"boot_master": ["own"]}}))
        (tmp_path / "own.sls").write_text(json.dumps(pillar or {}))
        opts = salt.config.master_config(None)
        ext_pillar = [{"other": "x"}, {"metalk8s": str(place)}]
        opts.update(id="boot", pillar_roots={"base": [str(tmp_path)]}, ext_pillar=ext_pillar)
        opts.update(cachedir=str(tmp_path / "cache"), extension_modules=str(tmp_path / "ext"))
        return ClusterContext(opts, FakeKube(*nodes))

    return made


def node(name: str, version: str, *roles: str) -> dict[str, Any]:
    labels = {f"node-role.kubernetes.io/{role}": "" for role in roles}
    return {
        "metadata": {"name": name, "labels": {**labels, "metalk8s.scality.com/version": version}}
    }


def test_networks_come_from_file_of_external_pillar(world: Make, tmp_path: Path) -> None:
    found = world().configuration()
    assert (found.control_plane, found.workload_plane) == (("10.1.0.0/24",), ("10.2.0.0/24",))
    assert found.values[CA_MINION].source == str(tmp_path / "bootstrap.yaml")


def test_pillar_precedes_file(world: Make) -> None:
    found = world(pillar={"networks": {"pod": "10.9.0.0/16"}}).configuration()
    assert str(found.values[POD]) == "10.9.0.0/16, from the pillar of boot_master"
    assert found.control_plane == ("10.1.0.0/24",)


def test_description_of_master_alone_comes_last(world: Make) -> None:
    cluster = {"networks": {"pod": "10.8.0.0/16"}, "bootstrap": {"name": "first"}}
    pillar = {"metalk8s": {"cluster": cluster}}
    assert world(pillar=pillar).configuration().single(CA_MINION) == "boot"


def test_master_alone_has_its_description_only(world: Make) -> None:
    cluster = {"networks": {"pod": "10.8.0.0/16"}, "bootstrap": {"name": "first"}}
    found = world(file=None, pillar={"metalk8s": {"cluster": cluster}}).configuration()
    assert found.single(POD) == "10.8.0.0/16"
    assert found.control_plane == ()
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("password: {hunter2", "it is not YAML"), ("[]", "is not a BootstrapConfiguration")],
)
def test_broken_file_is_problem_without_its_lines(world: Make, text: str, reason: str) -> None:
    found = world(text).configuration()
    assert [reason in problem for problem in found.problems] == [True]
    assert "hunter2" not in found.problems[0]


def test_unreadable_file_is_problem(world: Make, tmp_path: Path) -> None:
    (tmp_path / "bootstrap.yaml").mkdir()
    [problem] = world(None).configuration().problems
    assert problem.endswith("bootstrap.yaml cannot be read: Is a directory")


def test_version_is_the_annotation_of_metalk8s(world: Make) -> None:
    found = world(FILE, None, node("boot", "133.0.0", "bootstrap"))
    annotations = {configuration.VERSION_ANNOTATION: "134.0.1"}
    found.kube.put(NAMESPACES, {"metadata": {"name": "kube-system", "annotations": annotations}})
    assert str(found.version()) == (
        "134.0.1, from annotation metalk8s.scality.com/cluster-version of Namespace kube-system"
    )


def test_version_of_cluster_without_annotation_is_that_of_its_nodes() -> None:
    first, other = node("m", "2.1", "master"), node("boot", "2.0", "bootstrap", "master")
    label = "label metalk8s.scality.com/version of Node"
    assert str(cluster_version(FakeKube(first, other))) == f"2.0, from {label} boot"
    assert str(cluster_version(FakeKube(first))) == f"2.1, from {label} m"
    assert cluster_version(FakeKube(node("w", "2.2", "node"))) is None


def test_annotation_that_may_not_be_read_is_replaced_by_label(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kube = FakeKube(node("boot", "2.0", "bootstrap"))

    def refuse(request: str) -> None:
        if "namespaces/kube-system" in request:
            raise UnreachableError("the API answered 403", cause=FORBIDDEN)

    kube.fail = refuse
    found = cluster_version(kube)
    assert found is not None
    assert found.items == ("2.0",)
    assert "expand-rbac.yaml.j2" in caplog.text


def test_api_that_does_not_answer_is_an_error() -> None:
    kube = FakeKube(node("boot", "2.0", "bootstrap"))
    kube.down_until = 1e9
    with pytest.raises(UnreachableError, match="does not answer"):
        cluster_version(kube)
