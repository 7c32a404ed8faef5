"""Strict parsers of scalars, shared by the pillar, the arguments and the annotations."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable

from metalk8s_expand.domain.parsing import addresses

Parser = Callable[[object], str]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PATH = re.compile(r"/[A-Za-z0-9._@+-][A-Za-z0-9._/@+-]*")
_HOST_KEY = re.compile(
    r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]{16,}={0,3}"
)
_TRUE, _FALSE = ("true", "yes"), ("false", "no")
# The kubelet writes its name to the label kubernetes.io/hostname, and a label's value has at most
# 63 characters.
MAX_NAME = 63
# Certificates and resolvers already use these names: the certificate of a node with such a name
# would be valid for the API server too.
RESERVED_NAMES = ("kubernetes", "localhost")


class Invalid(ValueError):
    """A value that its parser refuses; ``remedy`` states what to write instead."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def _written(value: object, what: str) -> object:
    """Return the value; raise Invalid if YAML has read its plain text as another type.

    The text itself is lost by then, so the remedy shows how YAML reads such texts.
    """
    if isinstance(value, bool):
        kind, read = "true or false", "on, yes and true as True, and off, no and false as False"
    elif isinstance(value, (int, float)):
        kind, read = "a number", "010 as 8, 22:22 as 1342 and 1.10 as 1.1"
    elif hasattr(value, "isoformat"):
        kind, read = "a date", "2026-01-31 as one"
    else:
        return value
    raise Invalid(f"is {kind} to YAML, not {what}", f"write it in quotes: YAML reads {read}")


def text(value: object) -> str:
    _written(value, "a string")
    if not isinstance(value, str) or not value.strip():
        raise Invalid(
            "is not a string", "write a non-empty string, quoted if it looks like a number"
        )
    return value


def boolean(value: object) -> bool:
    """Parse true, false, yes or no; unlike in Python, the string 'false' is false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUE + _FALSE:
        return value in _TRUE
    raise Invalid("is not a boolean", "write true or false (yes, no)")


def integer(low: int, high: int) -> Callable[[object], int]:
    """Return a parser of whole numbers from ``low`` to ``high``, both included."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Invalid(
                "is not a whole number", f"write a number from {low} to {high}, without quotes"
            )
        if not low <= value <= high:
            raise Invalid("is out of range", f"write a number from {low} to {high}")
        return value

    return parse


def one_of(*words: str) -> Parser:
    """Return a parser that accepts only these words."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise Invalid("is an unknown value", f"write one of {', '.join(words)}")
        return value

    return parse


port = integer(1, 65535)


def port_text(value: object) -> int:
    """Parse a port from a string, since values of annotations are strings."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,5}", value):
        raise Invalid("is not a port", "write a number from 1 to 65535")
    return port(int(value))


def node_name(value: object) -> str:
    """Parse a node name as the kubelet registers it: RFC 1123 in lower case, 63 characters."""
    _written(value, "a node name")
    if not isinstance(value, str) or len(value) > MAX_NAME or not _SUBDOMAIN.fullmatch(value):
        raise Invalid(
            "is not a node name",
            f"use lower-case letters, digits, '-' and '.' (RFC 1123), at most {MAX_NAME}"
            " characters",
        )
    if value.partition(".")[0] in RESERVED_NAMES:
        raise Invalid("is a reserved name", f"choose a name other than {', '.join(RESERVED_NAMES)}")
    return value


def host(value: object) -> str:
    """Parse the IP address or DNS name that SSH connects to; an address becomes canonical."""
    name = text(value)
    if _is_address(name):
        return addresses.canonical(name)
    if len(name) <= 253 and _SUBDOMAIN.fullmatch(name.lower()) and not _looks_numeric(name):
        return name
    raise Invalid(
        "is not a host",
        "write an IP address or a DNS name, without user, port, scheme and brackets",
    )


def address(value: object) -> str:
    """Parse the control-plane IP of a host and return its canonical form."""
    _written(value, "an IP address")
    if _is_several(value):
        raise Invalid(
            "names several addresses",
            "write the address in the control-plane network: dual stack is not supported",
        )
    parsed = addresses.parsed(value) if isinstance(value, str) and _is_address(value) else None
    if parsed is None:
        raise Invalid(
            "is not an IP address",
            "write the node's control-plane IPv4 or IPv6 address, without mask and brackets",
        )
    if parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast or parsed.is_link_local:
        raise Invalid(
            "is not an address that other nodes can reach", "write the node's control-plane address"
        )
    return str(parsed)


def cidr(value: object) -> str:
    if _is_several(value):
        raise Invalid(
            "names several networks", "write one of either family: dual stack is not supported"
        )
    try:
        return str(ipaddress.ip_network(text(value)))
    except ValueError as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(
            "is not a network",
            "write it as 10.233.0.0/16 or fd00:233::/48, with all host bits zero",
        ) from None


def user(value: object) -> str:
    _written(value, "a user name")
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise Invalid("is not a user name", "write a Linux account name, such as root")
    return value


def version(value: object) -> str:
    """Parse a version; it must also be a valid label value."""
    _written(value, "a version")
    if not isinstance(value, str) or not _QUALIFIED.fullmatch(value):
        raise Invalid("is not a version", "write it quoted, as '2.0.0-dev'")
    return value


def host_key(value: object) -> str:
    """Parse an SSH public key and drop its comment."""
    words = " ".join(value.split()[:2]) if isinstance(value, str) else ""
    if not _HOST_KEY.fullmatch(words):
        raise Invalid(
            "is not an SSH public key", "write the line of /etc/ssh/ssh_host_ed25519_key.pub"
        )
    return words


def key_path(directory: str) -> Callable[[object], str]:
    """Return a parser that accepts only private key paths inside a directory.

    A kubelet can rewrite the annotations of its Node, so paths outside are refused.
    """

    def parse(value: object) -> str:
        path = absolute_path(value)
        if not path.startswith(directory.rstrip("/") + "/"):
            raise Invalid(
                "is outside the key directory",
                f"use a key inside {directory} (metalk8s_expand:key_directory)",
            )
        return path

    return parse


def absolute_path(value: object) -> str:
    """Parse an absolute path without '..' and '//', so that a comparison of prefixes is safe."""
    plain = isinstance(value, str) and _PATH.fullmatch(value) is not None
    if not plain or not isinstance(value, str) or posixpath.normpath(value) != value:
        raise Invalid(
            "is not a plain absolute path", "write it from /, without '..', '//' or a final slash"
        )
    return value


def label_key(value: object) -> str:
    _written(value, "a label key")
    prefix, slash, name = value.rpartition("/") if isinstance(value, str) else ("", "", "")
    if not _QUALIFIED.fullmatch(name) or (
        slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix))
    ):
        raise Invalid(
            "is not a label key", "write name or prefix/name, in the syntax of Kubernetes"
        )
    return f"{prefix}{slash}{name}"


def label_value(value: object) -> str:
    _written(value, "a label value")
    if not isinstance(value, str) or (value and not _QUALIFIED.fullmatch(value)):
        raise Invalid(
            "is not a label value",
            "write a string of at most 63 letters, digits, '-', '_', '.', in quotes",
        )
    return value


def _is_several(value: object) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, str) and "," in value)


def _is_address(value: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(value), "scope_id", None)
    except ValueError:
        return False


def _looks_numeric(name: str) -> bool:
    return re.fullmatch(r"[0-9.]+", name) is not None
