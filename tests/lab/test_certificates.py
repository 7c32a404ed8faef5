"""Renew certificates that are valid for ten minutes, in time.

The cluster works after the first certificates have expired. Each test continues from the state that
the test before it leaves, on the nodes that the expansion added.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.hosts import ETCDCTL, SALTENV, get, kubectl, names, on, runner
from tests.lab.members import MEMBERS

pytestmark = pytest.mark.full

CLUSTER = "/etc/metalk8s/cluster.json"
MINUTES = 10
# Clients that keep a connection open check for a new certificate at this interval.
NOTICED_S = 300
SERVERS = ("10.200.0.10", "10.200.0.11", "10.200.0.12")
IMAGE = "docker.io/library/busybox:1.37"
AUTHORITIES = ("ca", "etcd/ca", "front-proxy-ca")
CLOSED = "use of closed network connection"
REFUSED = ("certificate has expired", "Unauthorized")

Told = dict[str, dict[str, dict[str, Any]]]


class Story:
    """State that one test leaves to the next."""

    first: Told
    containers: dict[str, str]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Yield the common state of the tests.

    At the end, restore the description of the cluster and renew all short-lived certificates.
    """
    before = on("bootstrap", "cat", CLUSTER).stdout
    made = Story()
    made.containers = containers()
    yield made
    on("bootstrap", "tee", CLUSTER, stdin=before)
    renew()


def describe(**changes: Any) -> None:
    """Set keys of ``metalk8s:cluster``; None removes one."""
    data = json.loads(on("bootstrap", "cat", CLUSTER).stdout)
    found = {**data["metalk8s"]["cluster"], **changes}
    data["metalk8s"]["cluster"] = {key: value for key, value in found.items() if value is not None}
    on("bootstrap", "tee", CLUSTER, stdin=json.dumps(data, indent=1))


def renew() -> list[str]:
    """Run the renewal as documented; return the IDs of the states that changed something."""
    words = [
        "state.orchestrate",
        "metalk8s.orchestrate.renew_certificates",
        f"saltenv={SALTENV}",
    ]
    started = time.monotonic()
    done = on("bootstrap", "salt-run", "--out=json", *words, timeout=900, check=False)
    print(f"\nthe renewal took {time.monotonic() - started:.1f} s")
    assert done.stdout.strip().startswith("{"), done.stdout[-2000:] + done.stderr[-2000:]
    states = next(iter(json.loads(done.stdout)["data"].values()))
    assert isinstance(states, dict), states
    failed = {name: state for name, state in states.items() if not state["result"]}
    assert not failed, json.dumps(failed, indent=1)[-6000:]
    return [
        state["__id__"]
        for name, state in states.items()
        if state["changes"] and not name.endswith("-function")
    ]


def told() -> Told:
    """Return the certificates that every node reports, without the CAs."""
    done = on(
        "bootstrap", "salt", "--out=json", "--static", "*", "metalk8s_expand_host.certificates"
    )
    found = json.loads(done.stdout)
    assert sorted(found) == names(get("nodes"))
    return {
        node: {purpose: entry for purpose, entry in answer.items() if purpose not in AUTHORITIES}
        for node, answer in found.items()
    }


def moments(certificates: Told, key: str) -> dict[tuple[str, str], float]:
    """Return ``not_before`` or ``not_after`` of each certificate, in epoch seconds."""
    return {
        (node, purpose): datetime.datetime.fromisoformat(
            entry[key].replace("Z", "+00:00")
        ).timestamp()
        for node, answer in certificates.items()
        for purpose, entry in answer.items()
    }


def served_problems(certificates: Told) -> list[str]:
    """Return ports that serve another certificate than the file, and keys that do not match."""
    return [
        f"{node} {purpose}: {entry}"
        for node, answer in certificates.items()
        for purpose, entry in answer.items()
        if entry.get("key") != "fits"
        or entry.get("served", entry).get("serial") != entry.get("serial")
    ]


def containers() -> dict[str, str]:
    """Return the container ID of every static Pod; another ID means that the Pod was restarted."""
    pods = get("--namespace=kube-system", "pods", "--selector=tier=control-plane")["items"]
    return {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["containerID"]
        for pod in pods
    }


def proxies() -> dict[str, str]:
    """Return the kube-proxy Pod of each node, by node."""
    pods = get("--namespace=kube-system", "pods", "--selector=app=kube-proxy")["items"]
    return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in pods}


def reach(place: tuple[str, str, str]) -> None:
    """Get logs of a Pod and run a command in it, through one API server to one kubelet."""
    server, node, pod = place
    through = (f"--server=https://{server}:6443", "--namespace=kube-system")
    assert kubectl(*through, "logs", pod, "--tail=1").strip(), f"logs on {node} through {server}"
    assert "Kubernetes" in kubectl(*through, "exec", pod, "--", "kube-proxy", "--version"), (
        f"exec on {node} through {server}"
    )


def let_notice(server: str) -> None:
    """Open a connection from an API server to a kubelet after a renewal.

    The connection may fail for one reason: the API server has a new client certificate. It then
    closes every connection to a kubelet, this one too (client-go, transport/cert_rotation.go). The
    next connection works.
    """
    words = [
        f"--server=https://{server}:6443",
        "--namespace=kube-system",
        "exec",
        next(iter(proxies().values())),
    ]
    done = on("bootstrap", "kubectl", *words, "--", "kube-proxy", "--version", check=False)
    print(
        f"the first connection through {server} after the renewal: {'works' if not done.returncode else done.stderr.strip()}"
    )
    assert done.returncode == 0 or CLOSED in done.stderr, done.stderr


def everything_works(servers: tuple[str, ...], pod: str) -> None:
    """Check every kubelet through these API servers, a new Pod, and three healthy etcd voters."""
    places = [(server, node, name) for server in servers for node, name in proxies().items()]
    assert {node for _, node, _ in places} == set(names(get("nodes")))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reach, places))
    kubectl(
        "run",
        pod,
        f"--image={IMAGE}",
        "--restart=Never",
        "--image-pull-policy=IfNotPresent",
        "--command",
        "--",
        "sh",
        "-c",
        "exit 0",
    )
    try:
        kubectl("wait", f"pod/{pod}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
    finally:
        kubectl("delete", "pod", pod, "--wait=false")
    etcd = ["--namespace=kube-system", "exec", "etcd-bootstrap", "--", *ETCDCTL.split()]
    listed = json.loads(kubectl(*etcd, "member", "list", "--write-out=json"))["members"]
    assert sorted(member["name"] for member in listed) == MEMBERS
    assert not any(member.get("isLearner") for member in listed)
    health = json.loads(kubectl(*etcd, "endpoint", "health", "--cluster", "--write-out=json"))
    assert [item["health"] for item in health] == [True] * 3


def test_renewal_of_long_certificates_changes_nothing(story: Story) -> None:
    """Renew certificates of a year: no change; ``status`` reports when they expire."""
    before = told()
    assert served_problems(before) == []
    assert renew() == []
    assert moments(told(), "not_before") == moments(before, "not_before")
    code, found, _ = runner("status")
    assert code == 0
    assert sorted(found["certificates"]) == names(get("nodes"))
    assert all(row["days_left"] > 30 for row in found["certificates"].values()), found[
        "certificates"
    ]
    assert found["nodes"]["cp-1"]["certificates"] == found["certificates"]["cp-1"]


def test_renewal_for_ten_minutes_is_reported_by_health(story: Story) -> None:
    """Renew every certificate for ten minutes.

    ``status`` reports the remaining days, and ``health`` fails for this reason alone.
    """
    before = told()
    describe(certificate_days=MINUTES / 1440, certificate_renew_days=400)
    assert len(renew()) > 0
    story.first = told()
    ends = moments(story.first, "not_after")
    assert all(0 < end - time.time() <= MINUTES * 60 for end in ends.values())
    assert set(ends) == set(moments(before, "not_after"))
    serials = {
        (node, purpose): entry["serial"]
        for node, answer in before.items()
        for purpose, entry in answer.items()
    }
    assert all(
        story.first[node][purpose]["serial"] != serial
        for (node, purpose), serial in serials.items()
    )
    assert served_problems(story.first) == []
    _, found, _ = runner("status")
    assert all(
        row["days_left"] <= round(MINUTES / 1440, 2) for row in found["certificates"].values()
    ), found["certificates"]
    code, result, _ = runner("health")
    assert code == 8
    assert len(result["error"]["problems"]) == len(ends)
    assert all(" expires on " in problem for problem in result["error"]["problems"]), result[
        "error"
    ]["text"]


def test_certificates_with_minutes_left_are_renewed(story: Story) -> None:
    """Renew with the default of a year: certificates with minutes left are due."""
    describe(certificate_days=None, certificate_renew_days=None)
    assert len(renew()) > 0
    second = told()
    assert served_problems(second) == []
    old, new = moments(story.first, "not_before"), moments(second, "not_before")
    longest = max(new[key] - old[key] for key in old)
    print(f"at most {longest:.0f} s between both signatures")
    assert 0 < longest < MINUTES * 60 - NOTICED_S, "the clients would notice too late"
    assert min(moments(second, "not_after").values()) > time.time() + 300 * 86400
    for server in SERVERS:
        let_notice(server)
    everything_works(SERVERS[:1], "renewed-in-time")


def test_cluster_works_after_first_certificates_expired(story: Story) -> None:
    """No process uses an expired certificate, and no control-plane Pod was restarted for that."""
    end = max(moments(story.first, "not_after").values())
    while time.time() < end + 10:
        assert kubectl("get", "--raw", "/readyz") == "ok"
        time.sleep(min(15, max(1, end + 10 - time.time())))
    everything_works(SERVERS, "after-the-end")
    assert served_problems(told()) == []
    code, result, _ = runner("health")
    assert (code, result.get("warnings")) == (0, []), result
    assert containers() == story.containers


def test_control_plane_logs_show_no_refusal_after_expiry(story: Story) -> None:
    """Search the logs of all static Pods since the first certificates expired."""
    since = int(time.time() - max(moments(story.first, "not_after").values()))
    for pod in story.containers:
        lines = kubectl(
            "--namespace=kube-system", "logs", pod, f"--since={max(1, since)}s"
        ).splitlines()
        found = [line for line in lines if any(word in line for word in REFUSED)]
        assert found == [], f"{pod}: {found[:5]}"


def test_second_renewal_changes_nothing(story: Story) -> None:
    """No certificate is due after the renewal."""
    assert renew() == []


def test_renewal_of_single_node_leaves_other_nodes(story: Story) -> None:
    """The renewal of worker-1 changes no certificate of another node."""
    describe(certificate_renew_days=400)
    before = moments(told(), "not_before")
    words = [
        "state.orchestrate",
        "metalk8s.orchestrate.renew_certificates",
        f"saltenv={SALTENV}",
    ]
    on(
        "bootstrap",
        "salt-run",
        *words,
        'pillar={"orchestrate": {"node_name": "worker-1"}}',
        timeout=300,
    )
    after = moments(told(), "not_before")
    describe(certificate_renew_days=None)
    assert {
        node for (node, purpose), moment in after.items() if moment != before[node, purpose]
    } == {"worker-1"}
