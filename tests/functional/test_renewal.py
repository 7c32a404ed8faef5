"""Run the renewal with Salt on the CA's own node, with certificates that are valid for minutes.

A temporary directory replaces the real one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.host import certificates
from metalk8s_expand.domain.certificates import signing_policies
from tests import extension
from tests.functional.sls_site import CLUSTER, Chunk, Site

ROLES = ["bootstrap", "master", "etcd", "infra"]
MINUTE = 1 / 1440
STATE = "Have the certificates signed"
RENEW = ("state.apply", ["metalk8s.roles.certificates"], {})


class Node:
    """The minion of the bootstrap node, with ports that no other process uses."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.pki = site.base / "pki"
        roles = site.base / "srv" / "metalk8s" / "roles"
        roles.unlink()
        shutil.copytree(extension.served("roles"), roles)
        library = site.copy.library
        for path in (
            roles / "map.jinja",
            roles / "ca" / "init.sls",
            library / "domain" / "certificates" / "signing_policies.py",
        ):
            path.write_text(path.read_text().replace(signing_policies.PKI, str(self.pki)))
        steps = library / "minion" / "certificates.py"
        steps.write_text(
            steps.read_text().replace(
                "ports: Mapping[str, int] = signing_policies.PORTS", "ports: Mapping[str, int] = {}"
            )
        )
        assert "= signing_policies.PORTS" not in steps.read_text()

    def describe(self, **days: float) -> None:
        text = json.dumps({"metalk8s": {"cluster": {**CLUSTER, **days}}})
        (self.site.base / "pillar" / "cluster.sls").write_text("#!json\n" + text)

    def run(self, *jobs: tuple[str, list[Any], dict[str, Any]]) -> list[list[Chunk]]:
        found = self.site.call("bootstrap", *jobs)
        assert all(isinstance(states, dict) for states in found), found
        return [list(states.values()) for states in found]

    def serials(self) -> dict[str, str]:
        return {
            purpose: certificates.read(f"{self._path(path)}.crt").serial
            for purpose, path in signing_policies.paths(ROLES).items()
        }

    def keys(self) -> dict[str, bytes]:
        return {
            purpose: self._path(f"{path}.key").read_bytes()
            for purpose, path in signing_policies.paths(ROLES).items()
        }

    def _path(self, path: str) -> Path:
        return Path(path.replace(signing_policies.PKI, str(self.pki)))


def changed(states: list[Chunk]) -> set[str]:
    assert all(state["result"] for state in states), [
        state for state in states if not state["result"]
    ]
    return {state["__id__"] for state in states if state["changes"]}


def signed(states: list[Chunk]) -> dict[str, str]:
    """Return the reason of each signed certificate. No other state has changed the node."""
    assert changed(states) == {STATE}
    [found] = [state["changes"] for state in states if state["__id__"] == STATE]
    return dict(found)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node(Site(tmp_path_factory.mktemp("renewal")))


@pytest.mark.full
def test_certificate_is_created_kept_and_renewed(node: Node) -> None:
    """A certificate is created, kept while enough time is left, then renewed with the same key."""
    purposes = set(signing_policies.paths(ROLES))
    node.describe(certificate_days=10 * MINUTE, certificate_renew_days=2 * MINUTE)
    made, again = node.run(("state.apply", ["metalk8s.roles.ca"], {}), RENEW, RENEW)[1:]
    assert signed(made) == dict.fromkeys(purposes, "it does not exist")
    assert changed(again) == set()
    found = certificates.read(node.pki / "admin.crt")
    assert found.not_after - found.not_before == pytest.approx(600, abs=1)
    serials, keys = node.serials(), node.keys()

    node.describe(certificate_renew_days=400)
    [renewed] = node.run(RENEW)
    assert signed(renewed) == dict.fromkeys(purposes, "less than 400 days are left")
    assert node.keys() == keys
    assert not set(node.serials().values()) & set(serials.values())
    found = certificates.read(node.pki / "admin.crt")
    assert found.not_after - found.not_before == pytest.approx(365 * 86_400, abs=1)
