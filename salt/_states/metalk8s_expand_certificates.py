"""
State of the certificates of the node that it is applied on: what its ports serve is what lies on its disk.
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
    Every port of the node serves the certificate that lies on its disk. The kubelet is restarted when it does not; of the
    others, which read it again by themselves, it is waited for.

    name
        Any; it is shown.
    certificates
        Path without suffix of each certificate of the node, by purpose.
    address
        The node's address.
    timeout
        Seconds to wait. A DeployError says which ports serve something else after them.
    """

    clock = Clock()

    def look():
        return host_certificates.observed(certificates, address, clock=clock)

    return host_certificates.serve(
        look, __salt__["service.restart"], timeout, test=__opts__["test"], clock=clock
    )
