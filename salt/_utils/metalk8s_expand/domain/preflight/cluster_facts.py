"""What the new hosts are compared with and must be able to reach: the cluster as it is, before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """A TCP port that a new host must reach; ``check`` is the name of the check that it belongs to."""

    check: str
    title: str
    host: str
    port: int


@dataclass(frozen=True)
class ExistingNode:
    """A Node that exists; what is unknown of it is empty. ``deployed`` when a kubelet has reported on it."""

    name: str
    addresses: tuple[str, ...] = ()
    machine_id: str = ""
    product_uuid: str = ""
    macs: tuple[str, ...] = ()
    version: str = ""
    deployed: bool = False


@dataclass(frozen=True)
class ClusterFacts:
    """Nodes by name (one may have the name of a new host), and what the new hosts have to do with.

    ``etcd_peers`` are the addresses of today's members by node name, ``keys`` the fingerprints of the minion keys that
    the master knows by minion, ``master_key`` that of the master itself, ``version`` that of the cluster; a network is
    None where it is not declared.
    """

    nodes: Mapping[str, ExistingNode] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    etcd_peers: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    master_key: str = ""
    version: str = ""
    pod_cidr: str | None = None
    service_cidr: str | None = None
