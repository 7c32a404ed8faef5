"""What MetalK8s refuses on a host, as the files of its saltenv list it.

MetalK8s's own deployment checks a host against these lists and stops, so the preflight uses the
same ones. A list that the saltenv does not have is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The file of the lists, relative to the root of the saltenv.
FILE = "metalk8s/defaults.yaml"
# In the file, this role stands for every node.
EVERY_NODE = "node"
ADDRESS_OF_NODE = ("control_plane_ip", "workload_plane_ip")


@dataclass(frozen=True)
class ListedPort:
    """A TCP port that only the expected processes may use.

    ``address`` is an address, one of ``ADDRESS_OF_NODE``, or empty for all addresses. ``expected``
    holds patterns of process names.
    """

    address: str
    port: int
    expected: tuple[str, ...] = ()

    def permits(self, process: str) -> bool:
        """Return whether a process of this name may listen; an unknown one has no name."""
        return bool(process) and any(re.match(pattern, process) for pattern in self.expected)


@dataclass(frozen=True)
class SaltenvLists:
    """The lists of one saltenv.

    ``packages`` holds the conflicting versions by package; none means every version. ``ports``
    holds the ports by role. ``repository_port`` is the port of the package repository on the
    bootstrap node, 0 if it is unknown.
    """

    packages: Mapping[str, tuple[str, ...]] | None = None
    services: tuple[str, ...] | None = None
    ports: Mapping[str, tuple[ListedPort, ...]] = field(default_factory=dict)
    repository_port: int = 0

    def ports_of(self, roles: Sequence[str]) -> tuple[ListedPort, ...]:
        """Return the ports of a node with these roles."""
        listed: list[ListedPort] = []
        for role in dict.fromkeys((EVERY_NODE, *roles)):
            listed += self.ports.get(role, ())
        return tuple(listed)


def parse(document: Any) -> SaltenvLists:
    """Return the lists of the parsed file. Values of another shape are left out."""
    values = _mapping(document)
    repository = _mapping(values.get("repo"))
    listening = _mapping(_mapping(values.get("networks")).get("listening_process_per_role"))
    ports = {str(role): tuple(_ports(listed)) for role, listed in listening.items()}
    port = repository.get("port")
    return SaltenvLists(
        _packages(repository.get("conflicting_packages")),
        _names(values.get("conflicting_services")),
        ports,
        port if isinstance(port, int) and not isinstance(port, bool) else 0,
    )


def _packages(listed: Any) -> dict[str, tuple[str, ...]] | None:
    """Return the versions by package. The file has a name, a list of names, or versions by name."""
    if isinstance(listed, Mapping):
        return {str(name): _names(versions) or () for name, versions in listed.items()}
    names = _names(listed)
    return None if names is None else dict.fromkeys(names, ())


def _names(listed: Any) -> tuple[str, ...] | None:
    if isinstance(listed, str):
        return (listed,)
    if not isinstance(listed, list):
        return None
    return tuple(str(name) for name in listed if name is not None)


def _ports(listed: Any) -> Iterator[ListedPort]:
    for place, process in _mapping(listed).items():
        address, _, port = str(place).rpartition(":")
        expected = _names(_mapping(process).get("expected")) or ()
        if port.isdigit():
            yield ListedPort(address, int(port), tuple(map(_pattern, expected)))


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error:
        return re.escape(text)
    return text


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
