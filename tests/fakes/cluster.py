"""A cluster in memory: its API server, its etcd and its Leases."""

from __future__ import annotations

from dataclasses import dataclass, field

from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.cluster.health import ClusterAccess
from metalk8s_expand.domain.node import roles
from tests.fakes.etcd_members import FakeEtcd, voter
from tests.fakes.keys import FakeKeys
from tests.fakes.kube import FakeKube
from tests.fakes.leases import FakeLeases
from tests.fakes.minions import FakeMinions, live_minions
from tests.fakes.nodes import READY


@dataclass(frozen=True)
class FakeCluster(ClusterContext):
    """A cluster with one etcd member, unless it gets another etcd or none. All minions answer."""

    kube: FakeKube
    etcd: FakeEtcd | None = field(default_factory=lambda: FakeEtcd(voter(1, name="boot")))
    shared: FakeLeases = field(default_factory=FakeLeases)
    salt: FakeMinions = field(default_factory=live_minions)

    def access(self) -> ClusterAccess:
        return ClusterAccess(self.kube, self.etcd)  # type: ignore[arg-type]

    def minions(self) -> FakeMinions:  # type: ignore[override]
        """Return the minions of the master."""
        return self.salt

    def keys(self) -> FakeKeys:  # type: ignore[override]
        """Return the keys that the master knows."""
        return self.salt.keys

    def leases(self) -> FakeLeases:
        """Return the Leases that all calls on this cluster share."""
        return self.shared

    def deployed(self, name: str) -> None:
        """Make a Node Ready, and a node with the etcd role a member."""
        found = self.kube.nodes_by_name[name]
        found["status"] = {**READY, "nodeInfo": {"kubeletVersion": "v1"}}
        if self.etcd is not None and roles.label_key(roles.ETCD) in found["metadata"]["labels"]:
            self.kube.put_static_pods(name, "etcd")
            self.etcd.put(voter(len(self.etcd.listed) + 1, name=name))
