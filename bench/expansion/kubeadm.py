"""Join hosts with kubeadm, in a cluster that kubeadm has made on the same hosts.

A host is prepared when it has everything but its membership: containerd, images, kubelet, kubeadm,
and for a control-plane node the keys of the authorities.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.expansion.cluster import DIRECTORY, HERE, IMAGES, install, read, unpack, verify
from bench.expansion.lab import (
    ADDRESS,
    BOOTSTRAP,
    BY_NAME,
    ROOT,
    Run,
    answers,
    lab,
    measured,
    on,
    until,
)

SNAPSHOT = "kubeadm"
JOINED = ("cp-1", "worker-1")
SHARED = ("ca.crt", "ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key")
SHARED_ETCD = ("etcd/ca.crt", "etcd/ca.key")
LIMIT_S = 600
API = 6443


def make() -> None:
    """Replace the bootstrap node by the first node of a cluster of kubeadm, and prepare two hosts.

    The snapshot keeps the result. The lab must be at its fresh snapshot.
    """
    program, version = _program()
    kit = read(BOOTSTRAP, "-C", DIRECTORY, "master.tar", "SHA256SUMS", "host.sh")
    lab("reset", BOOTSTRAP)
    serve = "exec systemd-run --quiet python3 -m http.server 8080 --directory /srv/artifacts"
    on(BOOTSTRAP, "sh", "-c", serve)
    for name in (BOOTSTRAP, *JOINED):
        address = BY_NAME[name].address if name in BY_NAME else ADDRESS
        unpack(name, kit, DIRECTORY)
        on(name, "tar", "-C", "/", "-xf", f"{DIRECTORY}/master.tar")
        install(name, program.read_bytes(), "/usr/local/bin/kubeadm")
        for script in ("kubeadm.sh", "kubeadm-init.sh"):
            install(name, (HERE / script).read_bytes(), f"{DIRECTORY}/{script}")
        words = ("bash", f"{DIRECTORY}/kubeadm.sh", name, address, ADDRESS, *IMAGES["master,etcd"])
        on(name, *words, timeout=LIMIT_S)
    init = ("bash", f"{DIRECTORY}/kubeadm-init.sh", BOOTSTRAP, ADDRESS, version)
    on(BOOTSTRAP, *init, timeout=LIMIT_S)
    keys = read(BOOTSTRAP, "-C", "/etc/kubernetes/pki", *SHARED, *SHARED_ETCD)
    unpack("cp-1", keys, "/etc/kubernetes/pki")
    lab("snapshot", SNAPSHOT)


def restore() -> None:
    """Restore the cluster of one node and the prepared hosts."""
    lab("rollback", SNAPSHOT, "--start", BOOTSTRAP, *JOINED)
    until("the API", lambda: answers(BOOTSTRAP, "kubectl", "get", "--raw", "/readyz"))
    wait = ("kubectl", "wait", "--for=condition=Ready", "node", BOOTSTRAP, "--timeout=60s")
    until("the first node", lambda: answers(BOOTSTRAP, *wait))
    for name in JOINED:
        until(f"containerd of {name}", lambda name=name: answers(name, "ctr", "version"))  # type: ignore[misc]


def join(name: str) -> Run:
    """Join a prepared host and wait until the Node is Ready and its member votes."""
    create = ("kubeadm", "token", "create", "--print-join-command")
    words = [*on(BOOTSTRAP, *create).split(), "--ignore-preflight-errors=all"]
    port = 0
    if "master" in BY_NAME[name].roles:
        address = BY_NAME[name].address
        words += ["--control-plane", f"--apiserver-advertise-address={address}"]
        port = API
    with measured(BOOTSTRAP, name, port=port) as run:
        on(name, *words, timeout=LIMIT_S)
        wait = ("kubectl", "wait", "--for=condition=Ready", f"node/{name}", "--timeout=120s")
        on(BOOTSTRAP, *wait, timeout=150)
        verify([name])
    return run


def _program() -> tuple[Path, str]:
    """Return kubeadm and its version; build it from the version of the lab's other programs.

    It is not among the modules of the lab, so the artifacts of the hosts do not depend on it.
    """
    sys.path.insert(0, str(ROOT / "lab"))
    from metalk8s_lab import settings
    from metalk8s_lab.builders import binaries

    [kubernetes] = [module for module in binaries.MODULES if module.name == "kubernetes"]
    package = "k8s.io/kubernetes/cmd/kubeadm"
    module = binaries.Module("kubeadm", {"kubeadm": package}, ldflags=kubernetes.ldflags)
    built = binaries.Builder(settings.from_environment()).build(module)
    return built["kubeadm"], settings.KUBERNETES_VERSION
