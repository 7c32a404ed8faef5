"""Cluster facts: the Nodes that new hosts are compared with, and the endpoints they must reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metalk8s_expand.domain.parsing.addresses import host_port
from metalk8s_expand.domain.preflight.saltenv_lists import SaltenvLists


@dataclass(frozen=True)
class Endpoint:
    """A TCP port that a new host must reach; ``check`` is the name of the check that tests it."""

    check: str
    title: str
    host: str
    port: int

    @property
    def place(self) -> str:
        """Return host and port as the probe's answer names them."""
        return host_port(self.host, self.port)


@dataclass(frozen=True)
class ExistingNode:
    """An existing Node; unknown fields are empty. ``deployed``: a kubelet reported on it."""

    name: str
    addresses: tuple[str, ...] = ()
    machine_id: str = ""
    product_uuid: str = ""
    macs: tuple[str, ...] = ()
    version: str = ""
    deployed: bool = False


@dataclass(frozen=True)
class ClusterFacts:
    """Existing Nodes by name, and the endpoints, keys and networks that concern new hosts.

    A Node can have the name of a new host. ``etcd_peers`` holds the addresses of current members by
    node name. ``keys`` holds the fingerprints of the minion keys that the master knows, by minion
    ID; ``master_key`` is the fingerprint of the master's own key. ``version`` is the version of the
    cluster. A network is None if it is unknown. ``control_plane`` and ``workload_plane`` hold the
    CIDRs of these networks; they are empty if they are unknown. ``pre_flight`` is the path of the
    master's script that installs a Python on hosts; it is empty if there is none. ``lists`` holds
    what MetalK8s's saltenv refuses on hosts, by version; a version whose saltenv is not MetalK8s's
    has no entry.
    """

    nodes: Mapping[str, ExistingNode] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    etcd_peers: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    master_key: str = ""
    version: str = ""
    pod_cidr: str | None = None
    service_cidr: str | None = None
    pre_flight: str = ""
    control_plane: tuple[str, ...] = ()
    workload_plane: tuple[str, ...] = ()
    lists: Mapping[str, SaltenvLists] = field(default_factory=dict)
