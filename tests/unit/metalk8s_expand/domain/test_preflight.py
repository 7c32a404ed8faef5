"""Every check of a host, met and not met; which are skipped, and what an earlier run of ours may have left."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain import preflight, roles
from metalk8s_expand.domain.nodes import Node
from metalk8s_expand.domain.preflight import Host

FACTS: dict[str, Any] = {
    "python": [3, 11, 2], "architecture": "x86_64", "system": {"id": "debian", "version": "12"}, "hostname": "w-1",
    "uid": 0, "time": 1000.0, "machine_id": "a" * 32, "addresses": ["10.0.0.1", "127.0.0.1"], "ports": [22], "cpus": 4,
    "memory_mb": 8000, "free_mb": 50000, "swap": False, "systemd": True, "leftovers": [], "minion_id": None,
}  # fmt: skip


def host(*node_roles: str, others: dict[str, Any] | None = None, **facts: Any) -> Host:
    node = Node("w-1", "1", node_roles or (roles.NODE,), (), address="10.0.0.1")
    return Host(node, {**FACTS, **facts}, others or {}, now=1000.0)


GOOD = [
    pytest.param(host(), id="a good host"),
    pytest.param(host(roles.MASTER, roles.ETCD), id="a good control-plane host"),
    pytest.param(host(python=[3, 9, 0]), id="the oldest python"),
    pytest.param(host(architecture="aarch64"), id="arm"),
    pytest.param(host(addresses=[]), id="addresses unknown"),
    pytest.param(host(others={"w-2": {"machine_id": "b" * 32}}), id="another machine-id beside it"),
    pytest.param(host(time=1005.0), id="5 s ahead"),
    pytest.param(host(time=995.0), id="5 s behind"),
    pytest.param(host(memory_mb=None), id="memory unknown"),
    pytest.param(host(memory_mb=900), id="just enough memory"),
    pytest.param(host(free_mb=5000), id="just enough disk"),
    pytest.param(host(ports=[22, 6443, 2379]), id="ports of other roles"),
    pytest.param(host(ports=[10250, 7443], leftovers=["/etc/kubernetes/pki"], minion_id="w-1"), id="resumed"),
]


@pytest.mark.parametrize("good", GOOD)
def test_a_host_that_meets_everything(good: Host) -> None:
    assert preflight.findings([good]) == []


BAD = [
    ("python", {"python": [3, 8, 10]}, "3.8.10"),
    ("python", {"python": [2, 7]}, "2.7"),
    ("architecture", {"architecture": "riscv64"}, "riscv64"),
    ("privilege", {"uid": 1000}, "uid 1000"),
    ("systemd", {"systemd": False}, "another init"),
    ("address", {"addresses": ["10.0.0.2", "127.0.0.1"]}, "10.0.0.2"),
    ("machine-id", {"machine_id": None}, "none"),
    ("machine-id", {"machine_id": ""}, "none"),
    ("machine-id", {"others": {"w-2": {"machine_id": "a" * 32}}}, "w-2"),
    ("clock", {"time": 1005.1}, "+5 s"),
    ("clock", {"time": 900.0}, "-100 s"),
    ("swap", {"swap": True}, "on"),
    ("memory", {"memory_mb": 899}, "899 MB"),
    ("disk", {"free_mb": 4999}, "4999 MB"),
    ("ports", {"ports": [22, 10250, 7443]}, "7443, 10250"),
    ("leftovers", {"leftovers": ["/var/lib/etcd/member"]}, "/var/lib/etcd/member"),
    ("leftovers", {"leftovers": ["/etc/kubernetes/pki"], "minion_id": "another"}, "/etc/kubernetes/pki"),
]


@pytest.mark.parametrize(("check", "facts", "words"), BAD)
def test_a_check_that_fails(check: str, facts: dict[str, Any], words: str) -> None:
    [finding] = preflight.findings([host(**facts)])
    assert (finding.node, finding.check) == ("w-1", check)
    assert words in finding.found
    assert finding.remedy
    assert str(finding) == f"node w-1: {check}: found {finding.found}, wanted {finding.wanted}; {finding.remedy}"


def test_every_check_has_a_failing_case() -> None:
    assert {check for check, _, _ in BAD} == set(preflight.CHECKS)


@pytest.mark.parametrize(("check", "facts", "words"), BAD)
def test_skipped_by_name(check: str, facts: dict[str, Any], words: str) -> None:
    assert preflight.findings([host(**facts)], lambda name: {check}) == []
    assert preflight.findings([host(**facts)], lambda name: set(preflight.CHECKS) - {check}) != []


def test_skipped_on_one_node_only() -> None:
    other = Host(Node("w-2", "1", (roles.NODE,), (), address="10.0.0.1"), {**FACTS, "uid": 5}, {}, 1000.0)
    found = preflight.findings([host(uid=5), other], lambda name: {"privilege"} if name == "w-1" else ())
    assert [(item.node, item.check) for item in found] == [("w-2", "privilege")]


@pytest.mark.parametrize(
    ("role", "port"),
    [(roles.MASTER, 6443), (roles.MASTER, 10257), (roles.MASTER, 10259), (roles.ETCD, 2379), (roles.ETCD, 2380)],
)
def test_ports_of_a_role(role: str, port: int) -> None:
    assert [item.check for item in preflight.findings([host(role, ports=[port])])] == ["ports"]
    assert preflight.findings([host(roles.NODE, ports=[port])]) == []


def test_memory_of_the_largest_role() -> None:
    [finding] = preflight.findings([host(roles.NODE, roles.MASTER, memory_mb=1000)])
    assert finding.wanted == "1700 MB"


def test_swap_does_not_stop_an_expansion() -> None:
    found = preflight.findings([host(swap=True)])
    assert [item.severity for item in found] == [preflight.WARNING]
    assert preflight.errors(found) == []
    assert preflight.errors(preflight.findings([host(uid=5)]))


def test_all_problems_of_all_hosts_in_order() -> None:
    found = preflight.findings([host(uid=5, systemd=False), host(free_mb=0)])
    assert [item.check for item in found] == ["privilege", "systemd", "disk"]


def test_a_finding_as_data() -> None:
    [finding] = preflight.findings([host(uid=5)])
    assert finding.as_dict() == {
        "node": "w-1", "check": "privilege", "found": "uid 5", "wanted": "uid 0",
        "remedy": "set ssh:sudo to true, or ssh:user to root", "severity": "error",
    }  # fmt: skip
