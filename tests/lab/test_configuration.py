"""On MetalK8s the declaration needs names, profiles and addresses only.

The tests change no host: they read ``status`` and ``plan``, and restore the declaration.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.hosts import EXEC, PILLAR, on, runner

FILE = "/etc/metalk8s/bootstrap.yaml"
README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture
def pillar() -> Iterator[str]:
    """Yield the text of the declaration, and restore it after the test."""
    before = on("bootstrap", "cat", PILLAR).stdout
    yield before
    on("bootstrap", "tee", PILLAR, stdin=before)


def configuration() -> dict[str, dict[str, object]]:
    """Return the values that ``status`` shows, with their sources."""
    code, found, _ = runner("status")
    assert code == 0, found
    values: dict[str, dict[str, object]] = found["configuration"]["cluster"]
    return values


def test_status_shows_networks_and_ca_of_bootstrap_file() -> None:
    file = yaml.safe_load(on("bootstrap", *EXEC, "cat", FILE).stdout)
    networks, values = file["networks"], configuration()
    assert values["networks.control_plane"] == {
        "value": networks["controlPlane"]["cidr"],
        "source": FILE,
    }
    assert values["networks.workload_plane"]["value"] == networks["workloadPlane"]["cidr"]
    assert values["networks.pod"] == {"value": [networks["pods"]], "source": FILE}
    assert values["networks.service"]["value"] == [networks["services"]]
    assert values["ca.minion"] == {"value": [file["ca"]["minion"]], "source": FILE}


def test_declaration_without_version_and_networks_is_planned(pillar: str) -> None:
    declared = yaml.safe_load(pillar)
    ours = declared["metalk8s_expand"]
    ours.pop("networks", None)
    ours.get("defaults", {}).pop("version", None)
    on("bootstrap", "tee", PILLAR, stdin=yaml.safe_dump(declared))
    code, found, _ = runner("plan")
    assert code == 0, found
    version = configuration()["version"]
    source = str(version["source"])
    assert source.startswith(("annotation metalk8s.scality.com/cluster-version", "label "))
    text = on("bootstrap", *EXEC, "salt-run", "metalk8s_expand.manifest", "worker-1").stdout
    [value] = version["value"]  # type: ignore[misc]
    assert f"metalk8s.scality.com/version: {value}" in text.replace("'", "")


def test_network_that_is_not_the_clusters_is_refused(pillar: str) -> None:
    declared = yaml.safe_load(pillar)
    declared["metalk8s_expand"]["networks"] = {"pod_cidr": "10.1.0.0/16"}
    on("bootstrap", "tee", PILLAR, stdin=yaml.safe_dump(declared))
    code, found, _ = runner("expand", "dry_run=True")
    assert code == 2
    [problem] = found["error"]["problems"]
    assert problem["path"] == "metalk8s_expand:networks:pod_cidr"
    assert problem["value"] == "10.1.0.0/16"
    assert FILE in problem["message"]
    code, found, _ = runner("status")
    assert code == 0
    told = [text for text in found["configuration"]["problems"] if "pod_cidr" in text]
    assert len(told) == 1, found["configuration"]["problems"]


def test_commands_of_quickstart_run_in_the_container() -> None:
    """The functions of README's quickstart call the runner where README says."""
    section = README.read_text().partition("## On a real MetalK8s")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("       ")]
    functions = [line for line in lines if "() {" in line]
    [export] = [line for line in lines if line.startswith("export KUBECONFIG")]
    assert [line for line in lines if line.startswith("run plan")] == ["run plan"]
    script = "\n".join([export, *functions, "run plan", "run status", "run report"])
    done = on("bootstrap", "bash", "-c", script, timeout=300, check=False)
    assert "Plan: " in done.stdout, done.stdout + done.stderr
    assert f"networks.pod: 10.233.0.0/16, from {FILE}" in done.stdout
