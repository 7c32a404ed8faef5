"""
States of a host that Salt's own states make slow or cannot express.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host import shell
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import kubelet

__virtualname__ = "metalk8s_expand_host"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def command(name, done, timeout=300):
    """
    Ensure that a shell command has been run, unless another one says that it is not needed.

    ``cmd.run`` with ``unless`` or ``onlyif`` does the same. But Salt then looks for a function
    ``cmd.mod_run_check`` and, to see that there is none, imports all of its state modules in each
    job. That takes one to two CPU seconds.

    name
        The command.
    done
        Command without a change that succeeds if ``name`` is not needed.
    timeout
        Seconds that each of the two may take.

    Raises DeployError with the end of the output if the command fails.
    """
    if shell.succeeds(done, timeout):
        return {}
    if not __opts__["test"]:
        shell.run(name, timeout)
    return {"command": "would run" if __opts__["test"] else "was run"}


@state_boundary
def ready(name, done, timeout=120):
    """
    Ensure that the API has the Node of this host as Ready before the first static Pod: a kubelet
    that sees its Node without a capacity denies a static Pod, and never tries it again.

    name
        Name of the node.
    done
        Command without a change that succeeds if there is nothing to wait for, for example because
        the host has its static Pods. A node must be able to start etcd while no API answers.
    timeout
        Seconds to wait.

    Raises DeadlineError with what the API says of the Node.
    """
    if not __opts__["test"] and not shell.succeeds(done, timeout):
        kubelet.wait_until_ready(name, timeout, Clock())
    return {}
