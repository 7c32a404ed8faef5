"""
States of the certificates of a node: the CA has signed them, and its ports serve them.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import certificates as host_certificates
from metalk8s_expand.minion import signed_certificates

__virtualname__ = "metalk8s_expand_certificates"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def signed(name, certificates, contents, ca_server=None, days_remaining=30):
    """
    Ensure that the node has its certificates, each with a key that was made on this host. The state
    compares the files with ``contents``, and requests those that differ from the CA's minion, all
    in one request. It asks nothing if all are as they should be.

    name
        Any text; it is shown.
    certificates
        Path without suffix of each certificate of the node, by purpose.
    contents
        What each certificate contains, by purpose: ``subject``, ``names``, and ``authority``, the
        path of its CA without suffix below ``/etc/kubernetes/pki``.
    ca_server
        Minion that signs. None: this host signs them itself.
    days_remaining
        Days before its end from which a certificate is replaced.

    Returns the reason of each new certificate by its purpose. Raises UnreachableError if the CA's
    minion does not answer, DeployError with the reasons if it refuses a certificate. Nothing is
    written then.
    """
    reasons = signed_certificates.needed(certificates, contents, Clock().now(), days_remaining)
    if not reasons or __opts__["test"]:
        return reasons

    signer = ca_server or __opts__["id"]

    def sign(public_keys):
        if ca_server:
            answers = __salt__["publish.publish"](
                signer, signed_certificates.SIGN, arg=[dict(public_keys)], timeout=60
            )
        else:
            answers = {signer: __salt__[signed_certificates.SIGN](public_keys, __pub_id=signer)}
        return signed_certificates.answer_of(signer, answers)

    return signed_certificates.renew(certificates, reasons, sign)


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
