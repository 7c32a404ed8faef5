"""Checks of the host's connections, and of address conflicts with the cluster networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.parsing.addresses import family_problem
from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import ERROR, WARNING, CheckFailure, check
from metalk8s_expand.domain.preflight.cluster_facts import Endpoint

# Pod networks and container runtimes create these interfaces, with addresses of those networks.
VIRTUAL = (
    "cni",
    "flannel",
    "cali",
    "tunl",
    "vxlan",
    "kube-",
    "nodelocaldns",
    "docker",
    "veth",
    "lxc",
    "cilium",
    "lo",
)


@check
def network(host: CheckContext) -> CheckFailure | None:
    """Check that no address of the host is inside the Pod or Service network, and the family.

    The declared address is an error, another address a warning.
    """
    surroundings = host.surroundings
    networks = {"Pod": surroundings.pod_cidr, "Service": surroundings.service_cidr}
    declared = {title: cidr for title, cidr in networks.items() if cidr}
    if not declared:
        raise FactUnknown(
            "the Pod and Service networks are unknown", "declare metalk8s_expand:networks"
        )
    for title, cidr in declared.items():
        if problem := family_problem(host.node.address, title, cidr):
            return CheckFailure(
                f"{host.node.address} {problem}",
                "one family",
                "declare the host's address of the network's family",
            )
    others = [one for one in _own_addresses(host) if one != host.node.address]
    for addresses, severity in (([host.node.address], ERROR), (others, WARNING)):
        for title, cidr in declared.items():
            inside = [one for one in addresses if _is_inside(one, cidr)]
            if inside:
                remedy = "give the host another address, or the cluster another network"
                return CheckFailure(
                    f"{', '.join(inside)} inside the {title} network {cidr}",
                    "outside",
                    remedy,
                    severity,
                )
    return None


@check
def planes(host: CheckContext) -> CheckFailure | None:
    """Check that the host has an address in the networks of both planes.

    MetalK8s deploys a node at its first address in a network of each plane and fails without one.
    The declared address must be the one of the control plane; with several it may not be.
    """
    around = host.surroundings
    networks = {"control plane": around.control_plane, "workload plane": around.workload_plane}
    known = {title: cidrs for title, cidrs in networks.items() if cidrs}
    if not known and host.lists is None:
        return None
    if not known:
        raise FactUnknown(
            "the networks of the control plane and of the workload plane are unknown",
            "read networks in /etc/metalk8s/bootstrap.yaml on the bootstrap node",
        )
    own = list(_own_addresses(host))
    problems = []
    for title, cidrs in known.items():
        if not any(_is_in_any(one, cidrs) for one in own):
            problems.append(f"no address in the {title} ({', '.join(cidrs)})")
    cidrs = around.control_plane
    control = [one for one in own if _is_in_any(one, cidrs)]
    # The check ``address`` reports an address that is not the host's own.
    if control and host.node.address in own and host.node.address not in control:
        problems.append(
            f"{host.node.address} is declared and is not in the control plane ({', '.join(cidrs)})"
        )
    if problems:
        return CheckFailure(
            "; ".join(problems),
            "an address in each plane, of the control plane the declared one",
            "configure the missing address on the host, or correct the address in the pillar",
        )
    if len(control) > 1 and host.lists is not None:
        return CheckFailure(
            f"{', '.join(control)} are all in the control plane",
            f"{host.node.address} alone",
            "MetalK8s may deploy the node at another address than the declared one: remove the"
            " others from the host, or narrow networks:controlPlane in bootstrap.yaml",
            WARNING,
        )
    return None


@check
def route(host: CheckContext) -> CheckFailure | None:
    """Check that the host has a route to the Service network.

    The kernel looks up the route before it translates a Service address.
    """
    cidr = host.surroundings.service_cidr
    if not cidr:
        raise FactUnknown(
            "the Service network is unknown", "declare metalk8s_expand:networks:service_cidr"
        )
    reason = host.fact("route")
    if not reason:
        return None
    return CheckFailure(
        f"none to {cidr}: {reason}",
        "a route, for example a default route",
        "ip route add default via GATEWAY",
    )


@check
def dns(host: CheckContext) -> CheckFailure | None:
    """Check that the names that the node needs resolve, and that a name server answers.

    CoreDNS runs on infra nodes and passes the names of other networks on to their name servers.
    """
    resolved = host.fact("resolve")
    unresolved = []
    for name, reason in resolved.items():
        if reason != "":
            unresolved.append(f"{name}: {reason or 'no answer in time'}")
    servers = host.fact("name_servers")
    silent = [server for server, answers in servers.items() if not answers]
    remedy = (
        "correct /etc/resolv.conf and /etc/hosts on the host, or the network path to the name"
        " server"
    )
    if unresolved:
        return CheckFailure("; ".join(unresolved), "names resolve", remedy)
    if servers and len(silent) == len(servers):
        return CheckFailure(f"no answer from {', '.join(silent)}", "an answer", remedy)
    if silent:
        return CheckFailure(
            f"no answer from {', '.join(silent)}", "answers from all name servers", remedy, WARNING
        )
    if not servers and roles.INFRA in host.node.roles:
        raise FactUnknown(
            "/etc/resolv.conf has no name server",
            "add one if Pods must resolve names outside the cluster",
        )
    return None


@check
def api(host: CheckContext) -> CheckFailure | None:
    """Check that the host reaches the API servers.

    If it reaches only some of them, that is a warning: the node's API proxy uses the others.
    """
    failed, total = _failed(host, "api")
    if not failed:
        return None
    severity = ERROR if len(failed) == total else WARNING
    return CheckFailure(
        "; ".join(failed),
        "a connection",
        "allow TCP 6443 from this host to the API servers",
        severity,
    )


@check
def artifacts(host: CheckContext) -> CheckFailure | None:
    """Check that the host reaches the store of the artifacts to install."""
    failed, _ = _failed(host, "artifacts")
    return (
        CheckFailure(
            "; ".join(failed),
            "a connection",
            "start the artifact store, or allow connections from this host to it",
        )
        if failed
        else None
    )


@check
def salt_master(host: CheckContext) -> CheckFailure | None:
    """Check that the host reaches both ports of the Salt master, for its minion."""
    failed, _ = _failed(host, "salt-master")
    remedy = "allow TCP 4505 and 4506 from this host to the Salt master"
    return CheckFailure("; ".join(failed), "connections", remedy) if failed else None


def _failed(host: CheckContext, check_name: str) -> tuple[list[str], int]:
    """Return the failed connections to the endpoints of a check, and the number of endpoints.

    The check ``dns`` reports endpoints whose name does not resolve.
    """
    endpoints = []
    for endpoint in host.surroundings.endpoints:
        if endpoint.check == check_name and endpoint.host != host.node.address:
            endpoints.append(endpoint)
    if not endpoints:
        raise FactUnknown("no endpoint is known")
    resolved = host.facts.get("resolve") or {}
    failed = []
    silent = []
    for endpoint in endpoints:
        if resolved.get(endpoint.host, "") != "":
            continue
        place = endpoint.place
        reason = host.fact("connections").get(place)
        if reason is None:
            silent.append(endpoint)
        elif reason:
            failed.append(f"{endpoint.title} {place}: {reason}")
    if not failed:
        _refuse_silence(silent)
    return failed, len(endpoints)


def _refuse_silence(endpoints: Sequence[Endpoint]) -> None:
    if endpoints:
        names = ", ".join(one.place for one in endpoints)
        raise FactUnknown(
            f"the host does not report whether it reaches {names}", "nc -zv HOST PORT on the host"
        )


def _own_addresses(host: CheckContext) -> Iterator[str]:
    for name, interface in host.fact("interfaces").items():
        if not name.startswith(VIRTUAL):
            yield from interface["addresses"]


def _is_in_any(address: str, cidrs: Sequence[str]) -> bool:
    return any(_is_inside(address, cidr) for cidr in cidrs)


def _is_inside(address: str, cidr: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
