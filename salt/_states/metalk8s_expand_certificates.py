"""
State of the certificates of a node: its ports serve the certificates on its disk.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import certificates as host_certificates

__virtualname__ = "metalk8s_expand_certificates"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def served(name, certificates, address, timeout=120):
    """
    Ensure that every port of the node serves the certificate on its disk. The state restarts the
    kubelet if its port does not. It waits for the other processes, which reload the file
    themselves.

    name
        Any text; it is shown.
    certificates
        Path without suffix of each certificate of the node, by purpose.
    address
        The node's address.
    timeout
        Seconds to wait. A DeployError then lists the ports that serve another certificate.
    """

    clock = Clock()

    def look():
        return host_certificates.observed(certificates, address, clock=clock)

    return host_certificates.serve(
        look, __salt__["service.restart"], timeout, test=__opts__["test"], clock=clock
    )
