"""External pillar: each node's roles, addresses and role-restricted secrets, the CA minion's signing policies.

.. code-block:: yaml

    ext_pillar:
      - metalk8s_expand:
          master_id: bootstrap_master
          kubeconfig: /etc/kubernetes/metalk8s-expand.conf

It reads the cluster's description from the pillar key ``metalk8s:cluster`` of every minion, the declared nodes from the
pillar of ``master_id`` alone, and the registered Nodes from the API.
"""

import logging
import os

from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.clients.salt import pillar as master
from metalk8s_expand.cluster import node_pillar
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.loader import mixed_installation

log = logging.getLogger(__name__)

__virtualname__ = "metalk8s_expand"

# Salt sets this key while it works for salt-ssh.
OVER_SSH = "_ssh_version"
MASTER_KEYS = "/etc/salt/pki/master"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def ext_pillar(minion_id, pillar, master_id=None, kubeconfig="/etc/kubernetes/admin.conf"):
    """Return the pillar data of ``minion_id``, or an empty dict if ``metalk8s:cluster`` is not described.

    master_id
        ID under which the master's own pillar is compiled, ``<id>_master``.

    kubeconfig
        Kubeconfig that permits reading Nodes. While the file is missing, the bootstrap node is the only node. If the API
        does not answer, the pillar holds the data for renewing certificates, the reason as ``metalk8s:api_error``, and no
        data about other nodes.
    """
    cluster = (pillar.get("metalk8s") or {}).get("cluster")
    if not cluster or minion_id == master_id:
        return {}
    declared = master.declared_pillar(__opts__, master_id) if master_id else None
    nodes = settings.parse(declared).nodes.values() if declared else ()
    observed, problem = [], ""
    try:
        observed = Kube.from_kubeconfig(kubeconfig).nodes() if os.path.exists(kubeconfig) else []
    except UnreachableError as error:
        log.error("the pillar of %s is made without the API: %s", minion_id, error)
        problem = error.message
    hosts = node_pillar.known_hosts(cluster, nodes, observed)
    registered = [item["metadata"]["name"] for item in observed]
    data = node_pillar.node_pillar(minion_id, cluster, hosts, registered)
    if data and problem:
        data = node_pillar.without_api(data, problem)
    public_key = os.path.join(MASTER_KEYS, "master.pub")
    if OVER_SSH in __opts__:
        # salt-ssh packs the whole pillar into a file that stays on the host; the states that it applies need no secret.
        data.get("metalk8s", {}).pop("secrets", None)
    if data and os.path.exists(public_key):
        with open(public_key, encoding="utf-8") as stream:
            data["metalk8s"]["master_public_key"] = stream.read()
    return data
