"""The members of etcd."""

import logging

log = logging.getLogger(__name__)


def ext_pillar(minion_id, pillar):
    """Return ``metalk8s:etcd:members``."""
    try:
        members = __salt__["metalk8s_etcd.members"]()
    except Exception as error:
        log.error("etcd does not answer: %s", error)
        return {}
    return {"metalk8s": {"etcd": {"members": members}}}
