"""Checks that the host is new: no earlier cluster on its disk, no earlier host of its name here."""

from __future__ import annotations

from collections.abc import Iterator

from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import CheckFailure, check
from metalk8s_expand.domain.salt.fingerprint import fingerprint

MINION_KEY = "/etc/salt/pki/minion/minion.pem"
# Each entry is a file, a directory that must be empty, or a pattern for the files of a directory.
LEFTOVERS = (
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/static-pods",
    "/etc/kubernetes/pki",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/metalk8s-expand.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/cni/net.d/*",
    "/var/lib/etcd/member",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/pods",
    MINION_KEY,
)


@check
def leftovers(host: CheckContext) -> CheckFailure | None:
    """Check that no files of an earlier cluster are on the disk."""
    if host.is_resumed:
        return None
    # The system ships Podman's network, and its file sorts after the one of the cluster.
    paths = [path for path in host.fact("leftovers") if "podman" not in path]
    if not paths:
        return None
    minion = f" (of the minion {host.facts.get('minion_id') or 'without an ID'})"
    named = []
    for path in paths:
        named.append(path + minion if path == MINION_KEY else path)
    return CheckFailure(
        ", ".join(named), "none", "reset the host, or remove the remains of the earlier cluster"
    )


@check
def stale_node(host: CheckContext) -> CheckFailure | None:
    """Check that neither the cluster nor the master knows another machine by the node's name."""
    conflicts = [*_another_node(host), *_another_key(host)]
    if conflicts:
        remedy = (
            "if that node lives, correct the name or the address of this one; if its host is off"
            f" for good: salt-run metalk8s_expand.remove_node {host.name} force=True"
        )
        return CheckFailure("; ".join(conflicts), "a new name, or the name of this host", remedy)
    node = host.surroundings.nodes.get(host.name)
    if node is not None and node.deployed and not (node.machine_id and host.fact("machine_id")):
        raise FactUnknown(
            "the Node of this name does not report its machine-id",
            f"kubectl get node {host.name} --output yaml",
        )
    return None


@check
def version(host: CheckContext) -> CheckFailure | None:
    """Check that the node's declared version is the version of the cluster."""
    cluster = host.surroundings.version
    if not cluster:
        raise FactUnknown(
            "the cluster's version is unknown",
            "kubectl get nodes --label-columns metalk8s.scality.com/version",
        )
    if host.node.version == cluster:
        return None
    return CheckFailure(
        host.node.version,
        cluster,
        "correct the node's version in the pillar, or upgrade the cluster first",
    )


def _another_node(host: CheckContext) -> Iterator[str]:
    node = host.surroundings.nodes.get(host.name)
    own = host.facts.get("machine_id")
    if node is not None and node.deployed and node.machine_id and own and node.machine_id != own:
        yield f"the Node of this name is the machine {node.machine_id}, but this host is {own}"


def _another_key(host: CheckContext) -> Iterator[str]:
    known, shown = host.surroundings.keys.get(host.name), host.facts.get("minion_key")
    if not known:
        return
    if not shown and host.facts.get("uid") != 0:
        raise FactUnknown("only root can read the host's minion key")
    if not shown:
        yield "the master has a key of this name, but this host has no key"
    elif fingerprint(str(shown)) != known:
        yield (
            f"the master's key of this name is {known}, but this host's key is"
            f" {fingerprint(str(shown))}"
        )
