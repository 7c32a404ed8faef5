"""
State that lets jobs of the newest run change this host, and no older ones.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import fence

__virtualname__ = "metalk8s_expand_fence"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def admitted(name, epoch=None, path=fence.PATH):
    """
    This job's run is the newest that has worked on this host. What changes the host requires this state.

    name
        Any; it is shown.
    epoch
        Epoch of the run that started the job, ``orchestrate:epoch`` in the pillar. A job without one was started by hand and
        passes.
    path
        File on the host that keeps the newest epoch.

    A LockLostError when a newer run has been here: the lock was lost to it.
    """
    return fence.check_fencing_epoch(path, epoch, test=__opts__["test"])
