"""
Sign the certificates of nodes, on the minion that holds the CAs.
"""

from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import signed_certificates

__virtualname__ = "metalk8s_expand_ca"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def sign(public_keys, **kwargs):
    """
    Sign certificates for the minion that requests them through the master, by its own signing
    policies. The requester chooses its public keys only; Salt's ``x509`` module refuses what the
    policy of the node and purpose does not permit.

    public_keys
        Public key of each certificate as PEM, by purpose.

    Returns ``signed`` and ``refused``, by purpose: the certificate as PEM, or the reason. Without a
    requester, as on the command line, every certificate is refused.

    CLI Example:

    .. code-block:: bash

        salt-call publish.publish bootstrap metalk8s_expand_ca.sign '{kubelet-client: …}'
    """
    requester = kwargs.get("__pub_id", "")

    def sign_one(policy, public_key):
        return __salt__["x509.sign_remote_certificate"](
            policy, {"public_key": public_key}, **({"__pub_id": requester} if requester else {})
        )

    return signed_certificates.sign_all(requester, public_keys, sign_one)
