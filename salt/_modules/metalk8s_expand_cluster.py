"""
Data about the cluster that the rendering of an orchestration needs.
"""

from metalk8s_expand.cluster import orchestration_data
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand_cluster"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def node(name):
    """
    Return the data of one node that ``metalk8s.orchestrate.deploy_node`` needs.

    name
        Name of a node, declared or registered.

    Returns ``ca_server`` (minion that signs certificates), ``roles`` (the role SLS beyond the
    common ones), ``heartbeat`` (the last renewal of the kubelet's Lease, empty without one) and
    ``minion``: ``archive`` (``url`` and ``sha256`` of Salt's archive) and ``configuration`` (the
    options of the node's minion), as the cluster's description in the master's pillar says.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd metalk8s_expand_cluster.node worker-1
    """
    described = (__pillar__.get("metalk8s") or {}).get("cluster") or {}
    return orchestration_data.deployment(ClusterContext.from_opts(__opts__), name, described)


def renewal(name=None):
    """
    Return the nodes whose certificates ``metalk8s.orchestrate.renew_certificates`` renews, in their
    order.

    name
        Name of one node. By default all deployed nodes.

    Returns ``ca_server`` (minion that signs certificates), ``control_plane`` (the CA's node first),
    ``others``, and ``absent``: nodes whose minion does not answer.

    CLI Example:

    .. code-block:: bash

        salt-run salt.cmd metalk8s_expand_cluster.renewal
    """
    return orchestration_data.renewal(ClusterContext.from_opts(__opts__), name)
