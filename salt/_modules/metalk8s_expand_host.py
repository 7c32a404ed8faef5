"""
Facts about a host that has a minion, gathered by the script that preflight sends over SSH to hosts
without one.

The module needs the library on the minion (synced, or installed by pip), so it is not available
over salt-ssh.
"""

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.domain.node import node_logs
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.loader import mixed_installation
from metalk8s_expand.minion import apiserver_proxy as host_apiserver_proxy
from metalk8s_expand.minion import certificates as host_certificates
from metalk8s_expand.remote import host_facts as host_probe
from metalk8s_expand.remote import read_logs

__virtualname__ = "metalk8s_expand_host"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


def probe(request=None):
    """
    Gather facts about the host. Nothing is changed.

    request
        Facts to gather, as ``metalk8s_expand.domain.preflight.findings.request`` returns them. By
        default the facts of every host: all except connections, names, routes, the disk's speed and
        listening for etcd members.

    Returns the facts by name; a fact that cannot be determined is null. The Python is that of the
    minion. The call takes at most 20 seconds, unless ``request`` sets other ``seconds``.

    CLI Example:

    .. code-block:: bash

        salt 'worker-*' metalk8s_expand_host.probe
    """
    return host_probe.facts({**findings.QUESTIONS, **(request or {})})


def connect(targets, window=10):
    """
    Try TCP connections in parallel, each repeatedly until it succeeds or the window ends.

    targets
        List of ``[address, port]``.

    window
        Seconds, 60 at most.

    Returns the reason of each failure by ``address:port``, an empty string where the connection
    succeeded.

    CLI Example:

    .. code-block:: bash

        salt bootstrap metalk8s_expand_host.connect '[["10.200.0.11", 2379]]' window=5
    """
    return host_probe.connect_all(targets, window)


def logs(lines=50, node=""):
    """
    Return the last lines of the logs of the minion, the kubelet, containerd and the static Pods.
    Nothing is changed.

    Secrets are left out before the answer leaves the host: the master keeps the returns of jobs.

    lines
        Maximum number of lines of each log, 1000 at most. At most 32 KiB of each log are read,
        within ten seconds.

    node
        Name of the node, which ends the names of its static Pods. By default the ID of the minion.

    Returns a list of parts: ``part``, ``source`` (the file or the command), ``lines``, ``cut``
    (whether the log has earlier lines) and ``problem`` (why there are no lines, or None).

    CLI Example:

    .. code-block:: bash

        salt worker-1 metalk8s_expand_host.logs lines=20
    """
    most = max(1, min(int(lines), 1000))
    parts = read_logs.logs({"lines": most, "node": node or __opts__.get("id", "")})
    return node_logs.readable_parts(parts, most)


def certificates():
    """
    Return the certificates below ``/etc/kubernetes/pki`` and those that the node's ports serve.
    Nothing is changed.

    The pillar's ``metalk8s:certificates`` lists the expected certificates. Additional ones are
    returned too.

    Returns by purpose (by path where the purpose is not known): ``path``, ``subject``, ``issuer``,
    ``serial``, ``not_before``, ``not_after``, ``seconds_left`` by this host's clock, ``key``
    (``fits``, ``is missing``, ``is another's``, ``cannot be read``), and ``served`` (``port``,
    ``serial``, ``not_after``) where a port serves it; or ``path`` and ``error``. Ports that do not
    answer take at most 3 seconds.

    CLI Example:

    .. code-block:: bash

        salt cp-1 metalk8s_expand_host.certificates
    """
    known = __pillar__.get("metalk8s") or {}
    return host_certificates.observed(
        known.get("certificates") or {}, (known.get("node") or {}).get("address", ""), clock=Clock()
    )


def apiserver_proxy():
    """
    Return the API servers that the API proxy of this host lists. Nothing is changed.

    Returns address and port by the name of the node, empty for a host without such a proxy.

    CLI Example:

    .. code-block:: bash

        salt worker-1 metalk8s_expand_host.apiserver_proxy
    """
    return host_apiserver_proxy.servers()
