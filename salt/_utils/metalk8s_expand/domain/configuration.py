"""Read what the cluster's own configuration says, and from which source each value is.

MetalK8s keeps its configuration in the file BootstrapConfiguration and serves it in the pillar. A
master that stands alone has a description in its pillar.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from metalk8s_expand.errors import visible

CONTROL_PLANE = "networks.control_plane"
WORKLOAD_PLANE = "networks.workload_plane"
POD, SERVICE = "networks.pod", "networks.service"
PROXIES = {"http": "proxies.http", "https": "proxies.https", "no_proxy": "proxies.no_proxy"}
CA_MINION = "ca.minion"
VERSION = "version"
NETWORKS = (CONTROL_PLANE, WORKLOAD_PLANE, POD, SERVICE)
KEYS = (*NETWORKS, *PROXIES.values(), CA_MINION, VERSION)

KIND = "BootstrapConfiguration"
API_VERSIONS = ("metalk8s.scality.com/v1alpha2", "metalk8s.scality.com/v1alpha3")
# The networks of a cluster whose BootstrapConfiguration names none.
DEFAULTS = {POD: "10.233.0.0/16", SERVICE: "10.96.0.0/12"}
# User and password of a proxy's URL.
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Value:
    """The items of one key, at least one, and where they were read."""

    items: tuple[str, ...]
    source: str

    def __str__(self) -> str:
        return f"{', '.join(self.items)}, from {self.source}"


@dataclass(frozen=True)
class ClusterConfiguration:
    """The known values by their key of ``KEYS``; an unknown key is missing.

    Networks are CIDRs in their canonical form. URLs of proxies have no password. ``problems``
    are sentences about what a source has and this project cannot use.
    """

    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()

    @property
    def control_plane(self) -> tuple[str, ...]:
        """Return the CIDRs of the control-plane networks; empty if they are unknown."""
        return self.items(CONTROL_PLANE)

    @property
    def workload_plane(self) -> tuple[str, ...]:
        """Return the CIDRs of the workload-plane networks; empty if they are unknown."""
        return self.items(WORKLOAD_PLANE)

    @property
    def networks(self) -> tuple[str, ...]:
        """Return the CIDRs of all known networks of the cluster, each one once."""
        return tuple(dict.fromkeys(cidr for key in NETWORKS for cidr in self.items(key)))

    def items(self, key: str) -> tuple[str, ...]:
        """Return the items of a key; empty if they are unknown."""
        return self.values[key].items if key in self.values else ()

    def single(self, key: str) -> str:
        """Return the first item of a key, or an empty string."""
        return next(iter(self.items(key)), "")

    def with_fallback(self, other: ClusterConfiguration) -> ClusterConfiguration:
        """Return this configuration with the values of ``other`` for the keys it lacks."""
        values = {**other.values, **self.values}
        ordered = {key: values[key] for key in KEYS if key in values}
        return ClusterConfiguration(ordered, (*self.problems, *other.problems))

    def with_value(self, key: str, value: Value) -> ClusterConfiguration:
        """Return this configuration with another value of a key."""
        return ClusterConfiguration({key: value}).with_fallback(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON: ``{KEY: {"value": [ITEM], "source": TEXT}}``."""
        return {
            key: {"value": list(value.items), "source": value.source}
            for key, value in self.values.items()
        }


def from_bootstrap_file(document: object, path: str) -> ClusterConfiguration:
    """Return the values of a BootstrapConfiguration, v1alpha2 or v1alpha3."""
    if not isinstance(document, Mapping) or document.get("kind") != KIND:
        return ClusterConfiguration(problems=(f"{path} is not a {KIND}, so it is ignored",))
    version = document.get("apiVersion")
    if version not in API_VERSIONS:
        known = " and ".join(API_VERSIONS)
        problem = f"{path} has the apiVersion {visible(version)}, and known are {known}"
        return ClusterConfiguration(problems=(problem,))
    reader = _Reader(path)
    networks = reader.mapping(document, "networks")
    reader.networks(networks, {"controlPlane": CONTROL_PLANE, "workloadPlane": WORKLOAD_PLANE})
    reader.networks(networks, {"pods": POD, "services": SERVICE})
    default = f"{path}, where MetalK8s's default applies"
    for key, cidr in DEFAULTS.items():
        reader.values.setdefault(key, Value((cidr,), default))
    reader.proxies(reader.mapping(document, "proxies"))
    reader.text(CA_MINION, reader.mapping(document, "ca").get("minion"))
    return reader.result()


def from_pillar(pillar: Mapping[str, Any], minion: str) -> ClusterConfiguration:
    """Return the values that the pillar of a minion holds in MetalK8s's form."""
    reader = _Reader(f"the pillar of {minion}")
    networks = reader.mapping(pillar, "networks")
    planes = {"control_plane": CONTROL_PLANE, "workload_plane": WORKLOAD_PLANE}
    reader.networks(networks, {**planes, "pod": POD, "service": SERVICE})
    reader.proxies(reader.mapping(pillar, "proxies"))
    metalk8s = reader.mapping(pillar, "metalk8s")
    reader.text(CA_MINION, reader.mapping(metalk8s, "ca").get("minion"))
    reader.text(VERSION, metalk8s.get("cluster_version"))
    return reader.result()


def from_description(cluster: Mapping[str, Any], minion: str) -> ClusterConfiguration:
    """Return the values of ``metalk8s:cluster``, the description on a master without MetalK8s."""
    reader = _Reader(f"metalk8s:cluster in the pillar of {minion}")
    reader.networks(reader.mapping(cluster, "networks"), {"pod": POD, "service": SERVICE})
    reader.text(CA_MINION, reader.mapping(cluster, "bootstrap").get("name"))
    return reader.result()


class _Reader:
    """Collect the values of one source. A value of a wrong form becomes a problem."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.values: dict[str, Value] = {}
        self.problems: list[str] = []

    def result(self) -> ClusterConfiguration:
        ordered = {key: self.values[key] for key in KEYS if key in self.values}
        return ClusterConfiguration(ordered, tuple(self.problems))

    def mapping(self, parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Return the mapping below a key; empty if it is missing."""
        value = parent.get(key)
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self._note(key, value, "a mapping")
        return {}

    def networks(self, networks: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        """Read networks: a CIDR, a list of CIDRs, or a mapping that has either as ``cidr``."""
        for name, key in keys.items():
            found = networks.get(name)
            if isinstance(found, Mapping):
                found = found.get("cidr")
            self._take(key, f"networks:{name}", found, _cidr)

    def proxies(self, proxies: Mapping[str, Any]) -> None:
        for name, key in PROXIES.items():
            self._take(key, f"proxies:{name}", proxies.get(name), _proxy)

    def text(self, key: str, value: object) -> None:
        self._take(key, key, value, _text)

    def _take(self, key: str, name: str, value: object, parse: Callable[[object], str]) -> None:
        if value is None:
            return
        items: Sequence[object] = value if isinstance(value, (list, tuple)) else (value,)
        try:
            parsed = tuple(dict.fromkeys(parse(item) for item in items))
        except ValueError as error:
            self._note(name, value, str(error))
            return
        if parsed:
            self.values[key] = Value(parsed, self.source)

    def _note(self, name: str, value: object, wanted: str) -> None:
        shown = _CREDENTIALS.sub("//***@", visible(value))
        self.problems.append(f"{name} in {self.source} is {shown}, and not {wanted}")


def _cidr(value: object) -> str:
    try:
        return str(ipaddress.ip_network(_text(value), strict=False))
    except ValueError:
        raise ValueError("a network such as 10.0.0.0/24") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return visible(value.strip())


def _proxy(value: object) -> str:
    return _CREDENTIALS.sub("//***@", _text(value))
