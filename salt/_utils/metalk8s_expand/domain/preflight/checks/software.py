"""Checks for software on the host that conflicts with the software of the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.preflight.checks.context import CheckContext
from metalk8s_expand.domain.preflight.checks.registry import ERROR, WARNING, CheckFailure, check

PORTS: Mapping[str, Sequence[int]] = {
    "": (7443, 10248, 10249, 10250, 10256),
    roles.MASTER: (6443, 10257, 10259),
    roles.ETCD: (2379, 2380, 2381),
}
DOCKER = ("docker", "docker.io", "docker-ce", "docker-engine", "moby-engine")
CONTAINERD = ("containerd", "containerd.io")
KUBELET = ("kubelet", "kubeadm")
CRIO = ("cri-o", "crio")
PACKAGES = (*DOCKER, *CONTAINERD, *KUBELET, *CRIO)
# Conflicting services and the packages that install them, so that only one check reports a cause.
SERVICES: Mapping[str, Sequence[str]] = {
    "firewalld": (),
    "ufw": (),
    "docker": DOCKER,
    "containerd": CONTAINERD,
    "crio": CRIO,
    "kubelet": KUBELET,
    "k3s": (),
    "k3s-agent": (),
    "rke2-server": (),
    "rke2-agent": (),
}
# The deployment installs services of these names, too.
OWN_SERVICES = ("containerd", "kubelet")


@check
def ports(host: CheckContext) -> CheckFailure | None:
    """Check that no other process listens on the ports of the node's roles."""
    wanted: set[int] = set()
    for role in ("", *host.node.roles):
        wanted.update(PORTS.get(role, ()))
    taken = sorted(wanted.intersection(host.fact("ports")))
    if not taken or host.is_resumed:
        return None
    return CheckFailure(
        f"in use: {', '.join(map(str, taken))}",
        "free",
        "ss --listening --tcp --numeric --processes",
    )


@check
def packages(host: CheckContext) -> CheckFailure | None:
    """Check that no other container runtime or kubelet is installed."""
    if host.is_resumed:
        return None
    installed = ", ".join(name for name in host.fact("packages") if name in PACKAGES)
    if not installed:
        return None
    return CheckFailure(installed, "none of them", f"remove them: {installed}")


@check
def services(host: CheckContext) -> CheckFailure | None:
    """Check that no firewall service, other runtime or other Kubernetes is active or enabled.

    An active service is an error, one that starts only at the next boot a warning.
    """
    active = []
    enabled = []
    for name, state in host.fact("services").items():
        if not _is_in_the_way(host, name):
            continue
        if state["active"]:
            active.append(name)
        if state["enabled"] and not state["active"]:
            enabled.append(name)
    if not active and not enabled:
        return None
    states = [f"{name} runs" for name in active] + [f"{name} is enabled" for name in enabled]
    remedy = f"systemctl disable --now {' '.join([*active, *enabled])}"
    return CheckFailure(
        ", ".join(states), "neither running nor enabled", remedy, ERROR if active else WARNING
    )


def _is_in_the_way(host: CheckContext, name: str) -> bool:
    packaged = host.facts.get("packages") or ()
    if host.is_resumed and name in OWN_SERVICES:
        return False
    return not any(package in packaged for package in SERVICES.get(name, ()))


@check
def selinux(host: CheckContext) -> CheckFailure | None:
    """Check that SELinux lets static Pods read the deployment's files, which no policy covers."""
    settings = host.fact("selinux")
    remedy = (
        "setenforce 0, and SELINUX=permissive in /etc/selinux/config; or skip this check if a"
        " policy is installed"
    )
    if settings["mode"] == "enforcing":
        return CheckFailure("enforcing", "permissive or disabled", remedy)
    if settings["mode"] == "permissive" and settings["configured"] == "enforcing":
        return CheckFailure(
            "permissive until the next boot", "permissive or disabled permanently", remedy, WARNING
        )
    return None
