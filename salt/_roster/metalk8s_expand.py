"""
The roster of MetalK8s nodes: declared nodes from the pillar, all others from the annotations of
their Node objects.

The runner uses this roster. ``kubernetes_nodes.py`` is the same roster under the name that
MetalK8s's documentation uses.
"""

from metalk8s_expand.boundary import roster_boundary
from metalk8s_expand.cluster import roster
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@roster_boundary
def targets(tgt, tgt_type="glob", **kwargs):
    """
    Return salt-ssh's roster entries of the nodes that match.

    tgt
        Name, pattern, list of names, or nodegroup (of the configuration, or a role such as
        ``etcd``).
    tgt_type
        ``glob``, ``list``, ``pcre`` or ``nodegroup``.

    An exactly named node that is unknown, or whose annotations are bad, raises a SaltClientError.
    Other such nodes are skipped with a warning in the log.

    CLI Example:

    .. code-block:: bash

        salt-ssh --roster metalk8s_expand 'worker-*' test.ping
    """
    return roster.from_cluster(__opts__, tgt, tgt_type)
