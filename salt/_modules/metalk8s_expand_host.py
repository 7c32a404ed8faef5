"""
What a host that has a minion tells of itself, by the probe that the preflight sends over SSH to hosts that have none.

It needs the library on the minion (synced, or installed by pip), so it is not there over salt-ssh.
"""

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import certificates as host_certificates
from metalk8s_expand.remote import host_facts as host_probe

__virtualname__ = "metalk8s_expand_host"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def probe(request=None):
    """
    Look at the host. Nothing is changed.

    request
        What to look at, as ``metalk8s_expand.domain.preflight.findings.request`` makes it. By default what every host is asked,
        which is all but connections, names, routes, the disk's speed and listening for etcd members.

    Returns the facts by name; what the host cannot tell is null. The Python is that of the minion. It takes 20 seconds
    at most, unless ``request`` gives other ``seconds``.

    CLI Example:

    .. code-block:: bash

        salt 'worker-*' metalk8s_expand_host.probe
    """
    return host_probe.facts({**findings.QUESTIONS, **(request or {})})


def connect(targets, window=10):
    """
    Try TCP connections, all at once, each again and again until it works or the window ends.

    targets
        List of ``[address, port]``.

    window
        Seconds, 60 at most.

    Returns why it failed by ``address:port``, nothing where it worked.

    CLI Example:

    .. code-block:: bash

        salt bootstrap metalk8s_expand_host.connect '[["10.200.0.11", 2379], ["10.200.0.11", 2380]]' window=5
    """
    return host_probe.connect_all(targets, window)


def certificates():
    """
    Tell of the certificates below ``/etc/kubernetes/pki`` and of those that the node's ports serve. Nothing is changed.

    What should be there is the pillar's ``metalk8s:certificates``; what is there besides is told as well.

    Returns by purpose (by path where the purpose is not known): ``path``, ``subject``, ``issuer``, ``serial``,
    ``not_before``, ``not_after``, ``seconds_left`` by this host's clock, ``key`` (``fits``, ``is missing``,
    ``is another's``, ``cannot be read``), and ``served`` (``port``, ``serial``, ``not_after``) where a port serves it; or
    ``path`` and ``error``. It takes 3 seconds at most for ports that do not answer.

    CLI Example:

    .. code-block:: bash

        salt cp-1 metalk8s_expand_host.certificates
    """
    known = __pillar__.get("metalk8s") or {}
    return host_certificates.observed(
        known.get("certificates") or {}, (known.get("node") or {}).get("address", ""), clock=Clock()
    )
