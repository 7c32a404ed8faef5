"""Compare the certificates on the disk of this host with those that its ports serve, and make them
equal.

A process that has read the old file and does not reload it does not use a renewed one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host import certificates
from metalk8s_expand.clients.host.certificates import Certificate
from metalk8s_expand.clients.host.clock import Clock, Wait, wait_until
from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.certificates.expiry import KUBECONFIG, MASTER, stale_problems
from metalk8s_expand.errors import DeployError

LOCAL = "127.0.0.1"
# etcd serves it at the node's address only; without an address the port is not queried.
OF_PEERS = "etcd-peer"
# Only the kubelet does not reload its file for every client. A kubelet before 1.35 serves a new
# file to clients that connect by name, while API servers connect by address.
RESTARTED: Mapping[str, str] = {"kubelet-server": "kubelet"}
LOG = "journalctl --unit kubelet, and /var/log/pods on the node"

Entry = dict[str, Any]
Restart = Callable[[str], Any]


def observed(
    expected: Mapping[str, str],
    address: str = "",
    directory: str = signing_policies.PKI,
    ports: Mapping[str, int] = signing_policies.PORTS,
    *,
    clock: Clock,
) -> dict[str, Entry]:
    """Return every expected or existing certificate by purpose, or by path if its purpose is not
    known.

    ``expected`` maps each purpose to a path without suffix. etcd serves its peers at ``address``,
    the node's address.
    """
    now = clock.now()
    paths = {**_existing(Path(directory)), **expected}
    entries = {purpose: _entry(path, now) for purpose, path in paths.items()}
    asked = {}
    for purpose, port in ports.items():
        place = address if purpose == OF_PEERS else LOCAL
        if place and "serial" in entries.get(purpose, {}):
            asked[purpose] = (place, port)
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        answers = pool.map(lambda item: _served(item[0], item[1], Path(directory)), asked.values())
        for purpose, answer in zip(asked, answers, strict=True):
            entries[purpose]["served"] = answer
    return entries


def of_master(kubeconfig: str, context: str | None, clock: Clock) -> dict[str, dict[str, Entry]]:
    """Return the certificate of this master's kubeconfig, unless the node itself reports that
    certificate.
    """
    now = clock.now()
    try:
        loaded = certificates.of_kubeconfig(kubeconfig, context)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        return {MASTER: {KUBECONFIG: {"path": kubeconfig, "error": f"it cannot be read: {error}"}}}
    if loaded is None:
        return {}
    path, certificate = loaded
    if path.startswith(f"{signing_policies.PKI}/"):
        return {}
    return {MASTER: {KUBECONFIG: {"path": path, **_described(certificate, now)}}}


def serve(
    look: Callable[[], Mapping[str, Entry]],
    restart: Restart,
    timeout: float,
    test: bool = False,
    *,
    clock: Clock,
) -> dict[str, Any]:
    """Make every port serve the certificate on the disk: restart the kubelet, wait for processes
    that reload the file.

    Return the changes. Raises DeployError with the remaining problems after ``timeout`` seconds.
    """
    entries = look()
    stale = []
    for purpose, unit in RESTARTED.items():
        if purpose in entries and stale_problems({purpose: entries[purpose]}):
            stale.append(unit)
    changes = dict.fromkeys(stale, "restarted")
    if test:
        return changes
    for unit in stale:
        restart(unit)
    wait_until(
        Wait(
            "every port to serve the certificate on the disk",
            timeout,
            interval=2,
            hint="read the log of the process that serves the port",
            log=LOG,
            error=DeployError,
        ),
        lambda: stale_problems(look()),
        clock,
    )
    return changes


def _existing(directory: Path) -> dict[str, str]:
    purposes = {path: purpose for purpose, path in signing_policies.PATHS.items()}
    for name in signing_policies.AUTHORITIES:
        purposes[f"{signing_policies.PKI}/{name}"] = name
    paths = {}
    for file in sorted(directory.rglob("*.crt")):
        path = file.with_suffix("")
        expected = f"{signing_policies.PKI}/{path.relative_to(directory)}"
        paths[purposes.get(expected, str(path))] = str(path)
    return paths


def _entry(path: str, now: float) -> Entry:
    file = f"{path}.crt"
    try:
        certificate = certificates.read(file)
    except FileNotFoundError:
        return {"path": file, "error": "it is missing"}
    except (OSError, ValueError) as error:
        return {"path": file, "error": f"it cannot be read: {error}"}
    return {"path": file, **_described(certificate, now), "key": _key(f"{path}.key", certificate)}


def _described(certificate: Certificate, now: float) -> Entry:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_before": certificates.utc(certificate.not_before),
        "not_after": certificates.utc(certificate.not_after),
        "seconds_left": round(certificate.not_after - now),
    }


def _key(path: str, certificate: Certificate) -> str:
    try:
        return "fits" if certificates.key_fits(path, certificate) else "is another's"
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError, TypeError):
        # The error text could contain parts of the key.
        return "cannot be read"


def _served(place: str, port: int, directory: Path) -> Entry:
    own = directory / "etcd" / "healthcheck-client"
    try:
        certificate = certificates.served(
            place, port, (own.with_suffix(".crt"), own.with_suffix(".key"))
        )
    except (OSError, ValueError) as error:
        return {"port": port, "error": str(error)}
    return {
        "port": port,
        "serial": certificate.serial,
        "not_after": certificates.utc(certificate.not_after),
    }
