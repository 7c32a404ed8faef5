"""
States of a Node object, applied on the master by an orchestration.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.cluster import apiserver_proxies, context, health, node_registration
from metalk8s_expand.errors import ExpandError
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand_node"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def registered(name):
    """
    Ensure that the Node object matches the declaration in the pillar. A new Node is created
    cordoned.

    name
        Name of a node that the pillar declares.
    """
    seen = context.ClusterContext.from_opts(__opts__)
    changes = node_registration.register(
        seen.kube, seen.settings().node(name), test=__opts__["test"]
    )
    return {change["path"]: {"old": change["found"], "new": change["wanted"]} for change in changes}


@state_boundary
def verified(name, timeout=300, heartbeat=None):
    """
    Ensure that the node is as declared: Ready, its kubelet alive, its static Pods running, its etcd
    member voting, its own API server answering.

    name
        Name of a node, declared or registered.
    timeout
        Seconds to wait. A DeployError then lists the remaining problems.
    heartbeat
        Last renewal of the kubelet's Lease before the deployment, empty if it had none. A kubelet
        lives if it has renewed its Lease since. By default it must renew it while this state waits.
    """
    if __opts__["test"]:
        return {}
    seen = context.ClusterContext.from_opts(__opts__)
    health.wait_until_healthy(seen.access(), seen.node(name), timeout, Clock(), heartbeat)
    return {}


@state_boundary
def well(name, timeout=180):
    """
    Ensure that the node works, independent of its declaration: Ready, its static Pods running, its
    etcd member voting, its own API server answering.

    name
        Name of a registered node.
    timeout
        Seconds to wait. A DeployError then lists the remaining problems.
    """
    if __opts__["test"]:
        return {}
    seen = context.ClusterContext.from_opts(__opts__)
    health.wait_until_running(seen.access(), name, timeout, Clock())
    return {}


@state_boundary
def known_to_proxies(name):
    """
    Let the API proxies of all other deployed nodes list the API server of this node.

    Only proxies that do not list it yet are changed. This is best effort and takes about a minute
    at most, whatever the number of nodes: a proxy that lacks one API server uses the others. The
    state never fails. Its changes have, in ``ret``, what the minions of the nodes that are behind
    returned; the next ``expand`` updates these.

    name
        Name of the new control-plane node.
    """
    if __opts__["test"]:
        return {}
    seen = context.ClusterContext.from_opts(__opts__)
    try:
        told = apiserver_proxies.tell_others(seen, seen.node(name))
    except ExpandError as error:
        return {"ret": {"*": error.message}}
    changes = {"updated": list(told.updated)} if told.updated else {}
    return {**changes, "ret": dict(told.answers)} if told.behind else changes


@state_boundary
def uncordoned(name):
    """
    Uncordon the node if this extension cordoned it. The cordon of another actor stays.

    name
        Name of the node.
    """
    seen = context.ClusterContext.from_opts(__opts__)
    undone = node_registration.uncordon(seen.kube, name, test=__opts__["test"])
    return {"unschedulable": {"old": True, "new": False}} if undone else {}
