"""External pillar: each node's roles, addresses and role-restricted secrets, the CA minion's
signing policies.

.. code-block:: yaml

    ext_pillar:
      - metalk8s_expand:
          master_id: bootstrap_master
          kubeconfig: /etc/salt/metalk8s-expand.kubeconfig

It reads the cluster's description from the pillar key ``metalk8s:cluster`` of every minion, the
declared nodes from the pillar of ``master_id`` alone, and the registered Nodes from the API.
"""

from metalk8s_expand.cluster.node_pillar import compile_pillar
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def ext_pillar(minion_id, pillar, master_id=None, kubeconfig="/etc/kubernetes/admin.conf"):
    """Return the pillar data of ``minion_id``, or an empty dict if ``metalk8s:cluster`` is not
    described.

    master_id
        ID under which the master's own pillar is compiled, ``<id>_master``.

    kubeconfig
        Kubeconfig that permits reading Nodes. While the file is missing, the bootstrap node is the
        only node. If the API does not answer, the pillar holds the data for renewing certificates,
        the reason as ``metalk8s:api_error``, and no data about other nodes.
    """
    return compile_pillar(__opts__, minion_id, pillar, master_id, kubeconfig)
