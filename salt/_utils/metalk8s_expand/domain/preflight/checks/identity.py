"""Checks that the host is the declared one and not a copy of another host."""

from __future__ import annotations

from metalk8s_expand.domain.parsing.addresses import parsed
from metalk8s_expand.domain.preflight.checks import duplicates
from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import WARNING, CheckFailure, check


@check
def hostname(host: CheckContext) -> CheckFailure | None:
    """Check that the host has the name of its node.

    The deployment sets the kubelet's node name, so a difference is a warning. The name of another
    node is an error.
    """
    reported = str(host.fact("hostname")).lower()
    short = reported.partition(".")[0]
    if host.name in (reported, short) or host.name.partition(".")[0] == reported:
        return None
    others = {reported, short}.intersection({*host.others, *host.surroundings.nodes} - {host.name})
    if others:
        return CheckFailure(
            f"{reported}, which is another node",
            host.name,
            "correct the node's address or ssh:host in the pillar",
        )
    return CheckFailure(reported, host.name, f"hostnamectl set-hostname {host.name}", WARNING)


@check
def machine_id(host: CheckContext) -> CheckFailure | None:
    """Check that no other host or Node has the same machine ID."""
    own = str(host.fact("machine_id"))
    twins = host.census.others(duplicates.MACHINE_ID, [own], host.name)
    if own and not twins:
        return None
    shown = f"{own}, also on {', '.join(twins)}" if own else "none"
    return CheckFailure(
        shown, "a unique one", "rm /etc/machine-id; systemd-machine-id-setup; reboot"
    )


@check
def product_uuid(host: CheckContext) -> CheckFailure | None:
    """Check that no other host or Node has the same product UUID.

    The firmware of a container has none. That matters only if another host has one.
    """
    unknown = host.facts.get("product_uuid") is None
    if unknown and duplicates.PRODUCT_UUID not in host.census.kinds:
        return None
    own = str(host.fact("product_uuid"))
    twins = host.census.others(duplicates.PRODUCT_UUID, [own], host.name)
    if not twins:
        return None
    remedy = (
        "give the virtual machine a unique UUID; if its firmware reports a constant, skip this"
        " check"
    )
    return CheckFailure(f"{own}, also on {', '.join(twins)}", "a unique one", remedy)


@check
def mac(host: CheckContext) -> CheckFailure | None:
    """Check that no other host or Node has the MAC of the interface with the declared address.

    An interface without a MAC, such as a tunnel, cannot have the MAC of another host.
    """
    twins = host.census.others(duplicates.MAC, host.macs, host.name)
    if twins:
        shown = f"{', '.join(host.macs)}, also on {', '.join(twins)}"
        return CheckFailure(
            shown, "a unique one", "give the virtual machine's network card a unique MAC address"
        )
    own = host.node.address
    listed = any(own in interface["addresses"] for interface in host.fact("interfaces").values())
    if not listed and own in host.fact("addresses"):
        raise FactUnknown("the host does not report the interface with the node's address")
    return None


@check
def address(host: CheckContext) -> CheckFailure | None:
    """Check that the host has the declared address and that no other host or Node has it."""
    own, addresses = host.node.address, host.fact("addresses")
    if own not in addresses:
        usable = [one for one in addresses if _is_usable(one)]
        return CheckFailure(
            ", ".join(usable) or "none",
            own,
            "correct the node's address or ssh:host in the pillar",
        )
    twins = host.census.others(duplicates.ADDRESS, [own], host.name)
    if not twins:
        return None
    return CheckFailure(
        f"{own}, also on {', '.join(twins)}", "a unique one", "remove the address from one of them"
    )


def _is_usable(text: str) -> bool:
    """Return whether other nodes can reach an address of the host."""
    found = parsed(text)
    return found is not None and not (found.is_loopback or found.is_link_local)
