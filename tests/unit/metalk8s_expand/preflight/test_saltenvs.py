"""What a saltenv deploys: IPv6 is refused where MetalK8s's own states do it."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.salt import saltenv
from metalk8s_expand.errors import SettingsError
from metalk8s_expand.preflight import saltenvs

OURS, THEIRS = "metalk8s-2.0", "metalk8s-134.0"
SERVED = {
    (saltenvs.ORCHESTRATION, OURS),
    (saltenv.RENEWAL, OURS),
    (saltenvs.ORCHESTRATION, THEIRS),
}


class Files:
    """The master's file server; it counts the questions."""

    def __init__(self) -> None:
        self.asked = 0

    def has(self, sls: str, env: str) -> bool:
        self.asked += 1
        return (sls, env) in SERVED

    def saltenvs(self) -> list[str]:
        return sorted({env for _, env in SERVED})


def declared(address: str, version: str, **networks: str) -> Settings:
    node: dict[str, Any] = {"profile": "worker", "address": address, "version": version}
    return settings.parse({"nodes": {"w-1": node}, "networks": networks})


@pytest.mark.parametrize("name", [OURS, THEIRS, "metalk8s-9"])
def test_tree_of_metalk8s_has_its_deployment_and_not_our_roles(name: str) -> None:
    assert saltenvs.is_of_metalk8s(Files(), name) == (name == THEIRS)


@pytest.mark.parametrize(
    ("address", "networks", "version", "paths"),
    [
        ("fd00::1", {}, "134.0", ["metalk8s_expand:nodes:w-1:address"]),
        (
            "fd00::1",
            {"pod_cidr": "fd00:233::/48", "service_cidr": "fd00:96::/112"},
            "134.0",
            [
                "metalk8s_expand:nodes:w-1:address",
                "metalk8s_expand:networks:pod_cidr",
                "metalk8s_expand:networks:service_cidr",
            ],
        ),
        ("fd00::1", {}, "2.0", []),
        ("fd00::1", {"pod_cidr": "fd00:233::/48"}, "2.0", []),
    ],
)
def test_ipv6_is_refused_on_tree_of_metalk8s_only(
    address: str, networks: dict[str, str], version: str, paths: list[str]
) -> None:
    value = declared(address, version, **networks)
    found = saltenvs.family_problems(Files(), value)
    assert [problem.path for problem in found] == paths
    if not paths:
        saltenvs.ensure_families_supported(Files(), value)
        return
    with pytest.raises(SettingsError) as caught:
        saltenvs.ensure_families_supported(Files(), value)
    assert "metalk8s-134.0 cannot use" in str(caught.value)
    assert "MetalK8s deploys IPv4 clusters only" in caught.value.message
    assert caught.value.retcode == 2


def test_ipv4_declaration_asks_the_file_server_nothing() -> None:
    files = Files()
    saltenvs.ensure_families_supported(files, declared("10.0.0.1", "134.0"))
    assert files.asked == 0
