"""The overview: what is counted, what is unknown, and how it is shown."""

from __future__ import annotations

from typing import Any

from metalk8s_expand.domain.etcd.quorum import Alarm
from metalk8s_expand.domain.node.manifest import PROXY_BEHIND
from metalk8s_expand.domain.reports import overview
from metalk8s_expand.domain.reports.overview import Dns, Overview, Unknown
from metalk8s_expand.domain.reports.terminal.document import text_of
from metalk8s_expand.domain.reports.terminal.overview import render_overview
from metalk8s_expand.domain.runs import lease_rules
from metalk8s_expand.domain.runs.lease_rules import LeaseHolder
from tests.fakes.etcd_members import voter
from tests.fakes.nodes import READY

MIB = 1024 * 1024


def node(name: str, *roles: str, address: str = "", ready: bool = True) -> dict[str, Any]:
    labels = {f"node-role.kubernetes.io/{role}": "" for role in roles}
    addresses = [{"type": "InternalIP", "address": address}] if address else []
    status = {**(READY if ready else {}), "addresses": addresses}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}


def coredns(on: str, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    """Return a Pod of CoreDNS."""
    named = {"name": f"coredns-{on}", **metadata}
    return {"metadata": named, "spec": {"nodeName": on}, "status": READY if ready else {}}


def held() -> lease_rules.Lease:
    """Return the Lease of an active run."""
    holder = LeaseHolder("boot_1", "boot", "root", "20261122195023", "expand w-1")
    body = lease_rules.taken(None, holder, "2026-11-22T19:50:23.000000Z", 0.0, 60)
    return lease_rules.Lease.from_stored(body)


def masters() -> list[dict[str, Any]]:
    found = [node(f"cp-{n}", "master", "etcd", address=f"10.0.0.{n}") for n in (1, 2, 3)]
    return [*found, node("w-1", "node"), node("w-2", "node", ready=False)]


def endpoints(*addresses: str) -> list[dict[str, Any]]:
    return [{"endpoints": [{"addresses": [address]} for address in addresses]}]


def shown(seen: Overview) -> list[str]:
    """Return the state in each row below the header."""
    lines = text_of([render_overview(seen.as_dict())], 200).splitlines()
    return [line[len("API servers  ") :] for line in lines[1:]]


def test_healthy_cluster_is_one_row_for_each_question() -> None:
    members = [voter(n, name=f"cp-{n}", leads=n == 2, db_size=n * MIB) for n in (1, 2, 3)]
    dns = Dns({"spec": {"replicas": 2}}, [coredns("i-1"), coredns("i-2")])
    addresses = endpoints("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert shown(Overview(masters()[:4], members, addresses, dns, None)) == [
        "4 of 4 ready: master 3 of 3, etcd 3 of 3, node 1 of 1",
        "3 voters, 3 healthy, 2 needed: tolerates 1 further failure; leader cp-2; database 3.0 MiB",
        "3 of 3 answer: cp-1, cp-2, cp-3",
        "2 of 2 CoreDNS Pods ready, on 2 nodes: i-1, i-2",
        "no node is known to be behind",
        "free",
    ]


def test_overview_names_what_is_wrong() -> None:
    nodes = masters()
    nodes[3]["metadata"]["labels"][PROXY_BEHIND] = "true"
    members = [
        voter(1, name="cp-1", leads=True, alarms=(Alarm(1, "NOSPACE"),)),
        voter(2, False, name="cp-2"),
        voter(3, name="cp-3", learner=True),
    ]
    dns = Dns({"spec": {"replicas": 2}}, [coredns("i-1"), coredns("i-1", deletionTimestamp="now")])
    seen = Overview(nodes, members, endpoints("10.0.0.1", "10.0.0.3"), dns, held())
    assert shown(seen) == [
        "4 of 5 ready: master 3 of 3, etcd 3 of 3, node 1 of 2",
        "2 voters, 1 healthy, 2 needed: has no quorum; leader cp-1; alarm: NOSPACE; not healthy: cp-2;"
        " learner: cp-3",
        "2 of 3 answer; not in the endpoints: cp-2",
        "1 of 2 CoreDNS Pods ready, on 1 node: i-1",
        "behind on 1 node: w-1",
        "held by run 20261122195023 (expand w-1) of root on boot, since 2026-11-22T19:50:23.000000Z,"
        " last renewed 2026-11-22T19:50:23.000000Z",
    ]
    assert len(seen.as_dict()["etcd"]["problems"]) == 3


def test_unknown_part_has_the_keys_of_a_known_one() -> None:
    dns = Dns({"spec": {}}, [coredns("i-1", ready=False)])
    known = Overview(masters(), [voter(1)], [], dns, held()).as_dict()
    lost = Unknown("GET was answered 403\x1b")
    unknown = Overview(masters(), lost, lost, lost, lost)
    for name, part in unknown.as_dict().items():
        if name not in ("nodes", "proxies_behind"):
            assert (set(part), part["unknown"]) == (set(known[name]), "GET was answered 403\\x1b")
    assert shown(unknown).count("unknown: GET was answered 403\\x1b") == 4
    assert (unknown.members, known["api_servers"]["missing"]) == (None, ["cp-1", "cp-2", "cp-3"])
    assert (known["dns"]["ready"], known["dns"]["wanted"]) == (0, 1)


def test_cluster_without_masters_has_no_api_server_to_count() -> None:
    seen = Overview([node("w-1", "node")], [], [], Unknown("x"), None)
    assert shown(seen)[2] == "no Node has the role master"


def test_released_lock_is_free() -> None:
    released = lease_rules.Lease.from_stored({"spec": {"holderIdentity": None}})
    assert overview.lock_part(released)["held"] is False


def test_fleet_fits_on_a_screen() -> None:
    nodes = [node(f"worker-{number:04}", "node", ready=number % 3 > 0) for number in range(1000)]
    for item in nodes:
        item["metadata"]["labels"][PROXY_BEHIND] = "true"
    lost = Unknown("no etcd member answers " + "https://10.0.0.1:2379 " * 20)
    lines = text_of([render_overview(Overview(nodes, lost, [], lost, None).as_dict())]).splitlines()
    assert len(lines) < 30
    assert max(map(len, lines)) <= 80
