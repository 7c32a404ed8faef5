"""Reach nodes of the expanded cluster at IPv6 addresses.

The hosts get a second address for these tests only. The cluster stays one of IPv4: its API server
refuses nodes of another family, and the declaration does too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from tests.lab import faults
from tests.lab.hosts import get, kubectl, on, runner

NODE = "worker-1"
ADDRESSES = {"bootstrap": "fd00:200::10", NODE: "fd00:200::14"}
SSH_HOST = "metalk8s.scality.com/ssh-host"


@pytest.fixture(autouse=True, scope="module")
def _second_addresses() -> Iterator[None]:
    with ExitStack() as stack:
        for host, address in ADDRESSES.items():
            # networkd may disable IPv6 on a link without an address of its own.
            enable = "echo 0 > /proc/sys/net/ipv6/conf/host0/disable_ipv6 || true"
            add = f"{enable}; ip address add {address}/64 dev host0 nodad"
            delete = f"ip address delete {address}/64 dev host0"
            stack.enter_context(faults.shell(host, add, delete)())
        yield


@pytest.fixture
def reached_by_ipv6() -> Iterator[None]:
    """Declare the IPv6 address as the host that SSH connects to, written in another way."""
    before = on("bootstrap", "cat", faults.PILLAR).stdout
    declared = yaml.safe_load(before)
    kind, key = on(NODE, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[:2]
    ssh = {"host": "FD00:200:0::0014", "host_key": f"{kind} {key}"}
    declared["metalk8s_expand"]["nodes"][NODE]["ssh"] = ssh
    on("bootstrap", "tee", faults.PILLAR, stdin=yaml.safe_dump(declared))
    try:
        yield
    finally:
        on("bootstrap", "tee", faults.PILLAR, stdin=before)
        code, result, _ = runner("expand")
        assert code == 0, result


def ssh_host() -> Any:
    """Return the SSH host in the annotations of the Node."""
    return get("node", NODE)["metadata"]["annotations"][SSH_HOST]


def test_host_is_reached_at_its_ipv6_address(reached_by_ipv6: None) -> None:
    code, result, _ = runner("check_ssh", NODE)
    assert code == 0, result
    code, result, _ = runner("expand")
    assert code == 0, result
    assert ssh_host() == ADDRESSES[NODE], "the canonical text"
    code, again, _ = runner("expand")
    assert (code, again["unchanged"]) == (0, True), again
    ping = on("bootstrap", "salt-ssh", "--roster", "kubernetes", NODE, "test.ping", timeout=300)
    assert "True" in ping.stdout


def test_minion_tries_connection_to_ipv6_address() -> None:
    targets = json.dumps([[ADDRESSES["bootstrap"], 22], [ADDRESSES["bootstrap"], 9]])
    done = on(
        "bootstrap", "salt", "--out=json", NODE, "metalk8s_expand_host.connect", targets, "window=3"
    )
    place = f"[{ADDRESSES['bootstrap']}]"
    answers = json.loads(done.stdout)[NODE]
    assert answers[f"{place}:22"] == ""
    assert answers[f"{place}:9"] == "connection refused"


def test_node_of_other_family_is_refused_before_any_change() -> None:
    code, result, _ = runner("add_node", "worker-9", "profile=worker", "address=fd00:200::19")
    assert code == 2, result
    text = result["error"]["text"]
    assert "is IPv6, but the Pod network 10.233.0.0/16 is IPv4" in text
    assert "worker-9" not in kubectl("get", "nodes", "--output=name")
