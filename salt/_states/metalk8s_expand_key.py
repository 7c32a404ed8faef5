"""
State of a minion's key, applied on the master by an orchestration.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.cluster import minion_key, roster
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand_key"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def accepted(name, timeout=60):
    """
    Ensure that the minion's key is accepted and equals the key that the host shows over SSH, and
    that the minion answers.

    name
        ID of the minion: the name of the node.
    timeout
        Seconds to wait for the key to arrive, and for the minion to answer after that.

    Raises ConflictError if the key on the master belongs to another host.
    """
    keys = Keys(__opts__)
    if __opts__["test"]:
        return minion_key.pending_change(keys, name)
    target = Target.from_roster(name, roster.from_cluster(__opts__, name)[name])
    return minion_key.accept(keys, Minions(__opts__), target, timeout, Clock())
