"""
State of the minion of a host, applied on the master by an orchestration.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.cluster import roster
from metalk8s_expand.expansion import minion_install
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand_minion"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def running(name, archive, configuration, unit, saltenv):
    """
    Ensure that the host has Salt's minion with this configuration, the master's key and the modules
    of the saltenv, that the master has accepted its key, and that it answers. The host shows its
    key over SSH before its minion starts.

    name
        ID of the minion: the name of the node.
    archive
        ``url`` and ``sha256`` of the archive with Salt.
    configuration
        Options of the minion.
    unit
        Path of the minion's systemd unit in the saltenv.
    saltenv
        Saltenv whose modules the minion gets.

    Raises UnreachableError if the host gives no answer over SSH, ConflictError if the key on the
    master belongs to another host, DeployError if the minion cannot be installed or does not
    answer.
    """
    if __opts__["test"]:
        return "the minion would be installed where it differs, and its key accepted"
    target = Target.from_roster(name, roster.from_cluster(__opts__, name)[name])
    request = minion_install.request_of(__opts__, saltenv, archive, configuration, unit)
    return minion_install.run_minion(__opts__, target, request, Clock())
