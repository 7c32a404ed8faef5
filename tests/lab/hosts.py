"""Access to the lab for the tests, through its command line alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
# What the lab configures, as MetalK8s and an operator would.
SALTENV = "metalk8s-134.0.0"
PILLAR = "/etc/salt/metalk8s-expand/pillar/metalk8s_expand.sls"
LAB = str(REPOSITORY / "lab" / "lab")
# The tests use a lab of their own, so that a developer's lab is not changed.
ENVIRONMENT = {**os.environ, "METALK8S_LAB_NAME": os.environ.get("TEST_LAB_NAME", "metalk8s-test")}

ETCDCTL = (
    "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt "
    "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key"
)
# The command of the documentation that enters the Salt master's container.
EXEC = (
    "kubectl",
    "exec",
    "--namespace=kube-system",
    "salt-master-bootstrap",
    "--container=salt-master",
    "--",
)

Done = subprocess.CompletedProcess[str]


def lab(*words: str, timeout: float = 900, check: bool = True) -> Done:
    """Run ``./lab/lab``; its progress goes to the terminal."""
    return subprocess.run([LAB, *words], env=ENVIRONMENT, text=True, timeout=timeout, check=check)


def on(
    host: str, *command: str, stdin: str | None = None, timeout: float = 120, check: bool = True
) -> Done:
    """Run a command in a host and capture what it prints."""
    done = subprocess.run(
        [LAB, "exec", host, "--", *command],
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(
            f"{host}: {' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done


def kubectl(*words: str, stdin: str | None = None) -> str:
    """Run kubectl on the bootstrap host and return its output."""
    return on("bootstrap", "kubectl", *words, stdin=stdin).stdout


def get(*words: str) -> Any:
    """Run ``kubectl get`` and return the parsed objects."""
    return json.loads(kubectl("get", *words, "--output=json"))


def runner(function: str, *arguments: str, timeout: float = 900) -> tuple[int, Any, Done]:
    """Call a runner function; return its exit code, its JSON document and the process result."""
    done = on(
        "bootstrap",
        "salt-run",
        "--out=json",
        f"metalk8s_expand.{function}",
        *arguments,
        timeout=timeout,
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done


def kill_master() -> None:
    """Kill the first process of the Salt master's container, which ends the whole container.

    The kubelet starts it again.
    """
    on("bootstrap", "sh", "-ec", 'kill -9 "$(salt-master-container pid)"')


def until(what: str, holds: Callable[[], Any], timeout: float = 120) -> None:
    """Wait until the condition holds; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s for {what}"
        time.sleep(1)


def others(warnings: Sequence[str]) -> list[str]:
    """Return the warnings but the one about an option that MetalK8s sets."""
    return [text for text in warnings if not text.startswith("no_host_keys is set")]


def names(items: Sequence[Any] | dict[str, Any]) -> list[str]:
    """Return the sorted names of Kubernetes objects."""
    found = items["items"] if isinstance(items, dict) else items
    return sorted(item["metadata"]["name"] for item in found)


def is_true(item: dict[str, Any], condition: str) -> bool:
    """Return whether a condition of a Node or Pod is True."""
    return any(
        one["type"] == condition and one["status"] == "True"
        for one in item["status"].get("conditions", ())
    )
