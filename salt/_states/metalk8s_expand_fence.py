"""
State that permits only jobs of the newest run to change this host.
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
    Ensure that the run of this job is the newest that has worked on this host. States that change
    the host require this one.

    name
        Any text; it is shown.
    epoch
        Epoch of the run that started the job, ``orchestrate:epoch`` in the pillar. A job without
        one was started by hand and passes.
    path
        File on the host that stores the newest epoch.

    Raises LockLostError if a newer run has worked on this host: that run holds the lock.
    """
    return fence.check_fencing_epoch(path, epoch, test=__opts__["test"])
