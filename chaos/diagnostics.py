"""Collect the logs and the state of all hosts after a failed run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos import lab_hosts
from chaos.cases import ADDRESSES

ETCDCTL = (
    "kubectl -n kube-system exec etcd-bootstrap -- etcdctl --endpoints=https://127.0.0.1:2379"
    " --cacert=/etc/kubernetes/pki/etcd/ca.crt"
    " --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt"
    " --key=/etc/kubernetes/pki/etcd/healthcheck-client.key"
)
CLUSTER = {
    "nodes": "kubectl get nodes --output=yaml",
    "pods": "kubectl get pods --all-namespaces --output=wide",
    "lease": "kubectl -n kube-system get lease metalk8s-expand --output=yaml",
    "progress": "kubectl -n kube-system get configmap metalk8s-expand-run --output=yaml",
    "members": f"{ETCDCTL} member list --write-out=table",
    "endpoints": f"{ETCDCTL} endpoint status --cluster --write-out=table",
    "keys": "salt-key --list=all",
    "jobs": "salt-run jobs.active; salt-run jobs.master",
    "health": "salt-run --out=json metalk8s_expand.health",
    "status": "salt-run --out=json metalk8s_expand.status",
    "runners": (
        "ls -l /var/cache/salt/master/metalk8s_expand; cat"
        " /var/cache/salt/master/metalk8s_expand/*.json"
    ),
    "processes": "ps -ef",
}
# Only the logs of Kubernetes and Salt: the archive must not contain keys or a kubeconfig. The
# master writes its log in its container.
LOGS = (
    "tar --ignore-failed-read --warning=no-file-changed -czf - /var/log/salt /var/log/pods"
    " /proc/$(timeout 5 salt-master-container pid)/root/var/log/salt 2>/dev/null; true"
)
JOURNAL = "journalctl --no-pager --lines=4000 --output=short-precise"
LIMIT_S = 60


def keep(directory: Path, result: Mapping[str, Any]) -> None:
    """Save the result and the diagnostics to the run's directory; skip what cannot be collected."""
    (directory / "result.json").write_text(json.dumps(result, indent=1, default=str))
    for name, command in CLUSTER.items():
        _save(directory / f"{name}.txt", lab_hosts.BOOTSTRAP, command)
    for host in ADDRESSES:
        _save(directory / f"{host}.journal", host, JOURNAL)
        _save(directory / f"{host}.logs.tar.gz", host, LOGS)


def _save(path: Path, host: str, command: str) -> None:
    with suppress(Exception), path.open("wb") as file:
        words = lab_hosts.argv(host, ["sh", "-c", command])
        subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
