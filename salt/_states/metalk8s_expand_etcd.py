"""
States of an etcd member, applied on the node that becomes one. The states contain the quorum guard,
so that a manual deployment is as safe as the runner. They check the fencing epoch too, since
minutes may pass between the start of a job and a change.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.etcd.api import Etcd
from metalk8s_expand.clients.etcd.local_server import LocalServer
from metalk8s_expand.clients.etcd.member_files import MemberFiles
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.etcd.quorum import client_url
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import etcd_member, fence

__virtualname__ = "metalk8s_expand_etcd"
CONFIG = "/etc/kubernetes/etcd/etcd.yaml"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def member_added(name, address, endpoints, new_cluster=False, timeout=60, epoch=None):
    """
    Ensure that the etcd cluster has this member. A new host is added as a learner if the quorum
    guard permits it.

    name
        Name of the member: the name of the node.
    address
        IP address at which the member serves peers and clients.
    endpoints
        IP addresses of the other etcd nodes.
    new_cluster
        Start a new cluster if there are no other etcd nodes. Only the bootstrap procedure sets
        this.
    timeout
        Seconds to wait until the cluster accepts the addition.
    epoch
        Epoch of the run that started the job, as for ``metalk8s_expand_fence.admitted``. None: the
        job was started by hand.

    Raises QuorumError with the reason if the guard refuses; nothing is started then. Raises
    LockLostError if a newer run has already changed this host.
    """
    admitted = _admitted(epoch)
    files = _files(address)
    etcd = _etcd(address, endpoints, own=files.has_data())
    wanted = etcd_member.desired_member(
        name, address, new_cluster=new_cluster, timeout=timeout, admit=lambda: _admitted(epoch)
    )
    if __opts__["test"]:
        return {**admitted, **_pending(etcd, files, wanted)}
    return {**admitted, **etcd_member.add_learner(etcd, files, wanted, Clock())}


@state_boundary
def member_promoted(name, address, endpoints, timeout=120, epoch=None):
    """
    Ensure that the member votes: wait for its start, promote it under the quorum guard, and seal
    the configuration. A learner whose start waits for an answer that was lost is restarted once.

    name, address, endpoints, epoch
        As for ``member_added``.
    timeout
        Seconds to wait until the member has started and follows the leader.
    """
    admitted = _admitted(epoch)
    files = _files(address)
    etcd = _etcd(address, endpoints, own=files.has_data() or not endpoints)
    wanted = etcd_member.desired_member(
        name, address, start_timeout=timeout, admit=lambda: _admitted(epoch)
    )
    if __opts__["test"]:
        return {**admitted, **_pending(etcd, files, wanted)}
    return {
        **admitted,
        **etcd_member.promote_learner(etcd, files, wanted, Clock(), LocalServer(CONFIG)),
    }


def _admitted(epoch):
    return fence.check_fencing_epoch(fence.PATH, epoch, test=__opts__["test"])


def _pending(etcd, files, wanted):
    found = etcd_member.pending_changes(etcd, files, wanted)
    return {"changes": found} if found else {}


def _etcd(address, endpoints, own):
    # The host's own member serves requests too: other members may be registered and not deployed
    # yet.
    addresses = [*([address] if own else []), *endpoints]
    return Etcd(list(map(client_url, addresses)))


def _files(address):
    return MemberFiles(
        "/var/lib/etcd",
        CONFIG,
        "/etc/kubernetes/manifests/etcd.yaml",
        address,
    )
