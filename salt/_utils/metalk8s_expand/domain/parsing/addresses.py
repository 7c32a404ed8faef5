"""Addresses of both families: canonical text, ``host:port``, URLs and comparison.

Every other module builds and compares addresses with these functions, so that an IPv6 address works
wherever an IPv4 address does.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

IPV4, IPV6 = "IPv4", "IPv6"
# A URL whose host is an IPv4 address, a name, or an IPv6 address in brackets.
_URL = re.compile(
    r"(?P<scheme>[a-z]+://)(?P<host>\[[^][@/]*\]|[^][@:/]+)(?P<rest>(:[0-9]+)?(/.*)?)"
)


def parsed(text: object) -> Address | None:
    """Return the IP address in a text, with or without brackets; None for any other text.

    An IPv4 address that is written as IPv6 (``::ffff:10.0.0.1``) is the IPv4 address: clients of
    TLS and the kernel treat both as the same.
    """
    try:
        address = ipaddress.ip_address(_bare(str(text)))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def canonical(host: str) -> str:
    """Return the canonical text of an IP address without brackets; any other text unchanged.

    ``FD00:0::0011`` and ``[fd00::11]`` both become ``fd00::11``.
    """
    address = parsed(host)
    return host if address is None else str(address)


def is_same(first: str, second: str) -> bool:
    """Return whether two hosts are the same address, or the same name."""
    return canonical(first) == canonical(second)


def is_ipv6(host: str) -> bool:
    """Return whether a host is an IPv6 address."""
    address = parsed(host)
    return address is not None and address.version == 6


def family(host: str) -> str:
    """Return ``IPv4`` or ``IPv6`` for an address or a network, an empty text for a name."""
    address = parsed(host.partition("/")[0])
    if address is None:
        return ""
    return IPV6 if address.version == 6 else IPV4


def family_problem(address: str, title: str, network: str) -> str | None:
    """Return why a node's address does not fit the Pod or Service network, None if it fits.

    An API server refuses to start at an address of another family than the Service network, and
    kube-proxy serves the family of its node's address only.
    """
    own, wanted = family(address), family(network)
    if not own or not wanted or own == wanted:
        return None
    return f"is {own}, but the {title} network {network} is {wanted}"


def host_port(host: str, port: int | str) -> str:
    """Return ``host:port``, with brackets around an IPv6 address: ``[fd00::11]:2379``."""
    return f"{_bracketed(host)}:{port}"


def url(scheme: str, host: str, port: int | str) -> str:
    """Return ``scheme://host:port``, with brackets around an IPv6 address."""
    return f"{scheme}://{host_port(host, port)}"


def canonical_url(text: str) -> str:
    """Return a URL with the canonical text of its address; any other text unchanged."""
    match = _URL.fullmatch(text)
    if match is None or parsed(match["host"]) is None:
        return text
    return f"{match['scheme']}{_bracketed(match['host'])}{match['rest']}"


def _bracketed(host: str) -> str:
    bare = canonical(host)
    return f"[{bare}]" if ":" in bare else bare


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
