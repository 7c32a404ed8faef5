"""Checks for software on the host that conflicts with the software of the deployment.

MetalK8s lists in its saltenv what it refuses, and these lists precede those below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.preflight.checks.context import CheckContext
from metalk8s_expand.domain.preflight.checks.registry import ERROR, WARNING, CheckFailure, check
from metalk8s_expand.domain.preflight.saltenv_lists import (
    ADDRESS_OF_NODE,
    ListedPort,
    SaltenvLists,
)

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
ALL_ADDRESSES = ("", "0.0.0.0", "::")


def asked_packages(lists: SaltenvLists | None) -> tuple[str, ...]:
    """Return the packages that the probe looks for."""
    if lists is None or lists.packages is None:
        return PACKAGES
    return tuple(lists.packages)


def asked_services(lists: SaltenvLists | None) -> tuple[str, ...]:
    """Return the services that the probe looks for."""
    listed = lists.services if lists else None
    return tuple(dict.fromkeys((*(listed or ()), *SERVICES)))


def asked_ports(lists: SaltenvLists | None, node_roles: Sequence[str]) -> tuple[int, ...]:
    """Return the ports whose processes the probe names."""
    listed = lists.ports_of(node_roles) if lists else ()
    return tuple(dict.fromkeys(one.port for one in listed))


@check
def ports(host: CheckContext) -> CheckFailure | None:
    """Check that no other process listens on the ports of the node's roles."""
    listed = host.lists.ports_of(host.node.roles) if host.lists else ()
    wanted: set[int] = set()
    for role in ("", *host.node.roles):
        wanted.update(PORTS.get(role, ()))
    wanted.difference_update(one.port for one in listed)
    taken = [str(port) for port in sorted(wanted.intersection(host.fact("ports")))]
    taken += _taken(host, listed)
    if not taken or host.is_resumed:
        return None
    return CheckFailure(
        f"in use: {', '.join(dict.fromkeys(taken))}",
        "free",
        "ss --listening --tcp --numeric --processes",
    )


def _taken(host: CheckContext, listed: Sequence[ListedPort]) -> list[str]:
    """Return the listed ports that a process other than the expected ones uses."""
    taken = []
    for address, port, process in host.fact("listeners") if listed else ():
        for one in listed:
            wanted = host.node.address if one.address in ADDRESS_OF_NODE else one.address
            meets = not wanted or address in (*ALL_ADDRESSES, wanted)
            if port == one.port and meets and not one.permits(process):
                taken.append(f"{port} ({process or 'an unknown process'})")
    return taken


@check
def packages(host: CheckContext) -> CheckFailure | None:
    """Check that no other container runtime or kubelet is installed.

    Of MetalK8s's list, a package that conflicts in some versions only is a warning.
    """
    if host.is_resumed:
        return None
    asked = asked_packages(host.lists)
    installed = [name for name in host.fact("packages") if name in asked]
    versions = (host.lists.packages or {}) if host.lists else {}
    partly = [name for name in installed if versions.get(name)]
    always = ", ".join(name for name in installed if name not in partly)
    if always:
        return CheckFailure(always, "none of them", f"remove them: {always}")
    if not partly:
        return None
    named = "; ".join(f"{name} is installed" for name in partly)
    wanted = "; ".join(f"{name} not {' or '.join(versions[name])}" for name in partly)
    return CheckFailure(
        named, wanted, f"compare the version: rpm --query {' '.join(partly)}", WARNING
    )


@check
def services(host: CheckContext) -> CheckFailure | None:
    """Check that no firewall service, other runtime or other Kubernetes is active or enabled.

    An active service is an error, one that starts only at the next boot a warning. MetalK8s
    refuses the services of its list in both cases, and no others.
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
    listed = host.lists.services if host.lists else None
    is_refused = bool(active) if listed is None else not {*active, *enabled}.isdisjoint(listed)
    return CheckFailure(
        ", ".join(states), "neither running nor enabled", remedy, ERROR if is_refused else WARNING
    )


def _is_in_the_way(host: CheckContext, name: str) -> bool:
    packaged = host.facts.get("packages") or ()
    listed = host.lists.services if host.lists else None
    if listed is not None and name in listed:
        return True
    if name in OWN_SERVICES and (host.is_resumed or listed is not None):
        return False
    return not any(package in packaged for package in SERVICES.get(name, ()))


@check
def selinux(host: CheckContext) -> CheckFailure | None:
    """Check that SELinux lets static Pods read the deployment's files, which no policy covers.

    MetalK8s installs the policy of its container runtime and runs with SELinux in any mode.
    """
    settings = host.fact("selinux")
    if host.lists is not None:
        return None
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
