"""Two API clients for the tests: one that writes continuously, and one on another node.

The tests use them beside kubectl on the bootstrap host.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.lab.hosts import ENVIRONMENT, LAB, get, is_true, kubectl, on

IMAGE = "docker.io/library/busybox:1.37"
# Patches one ConfigMap through the local proxy until its standard input has data or ends, at most
# half an hour, and prints the time of each acknowledgment.
SCRIPT = r"""
import http.client, json, select, ssl, sys, time
context = ssl.create_default_context(cafile="/etc/kubernetes/pki/ca.crt")
context.load_cert_chain("/etc/kubernetes/pki/admin.crt", "/etc/kubernetes/pki/admin.key")
path = "/api/v1/namespaces/default/configmaps"
end, count, connection = time.time() + 1800, 0, None
def send(method, path, body, kind):
    global connection
    connection = connection or http.client.HTTPSConnection("127.0.0.1", 7443, timeout=5, context=context)
    connection.request(method, path, json.dumps(body), {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status
made = False
while time.time() < end and not select.select([sys.stdin], [], [], 0)[0]:
    count += 1
    try:
        made = made or send("POST", path, {"metadata": {"name": "writer"}}, "application/json") in (201, 409)
        if send("PATCH", path + "/writer", {"data": {"count": str(count)}}, "application/merge-patch+json") == 200:
            print(time.time(), flush=True)
    except (OSError, http.client.HTTPException):
        connection = None
    time.sleep(0.05)
"""


@dataclass
class Written:
    """The times of acknowledged writes, in epoch seconds."""

    moments: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.moments)

    @property
    def longest_pause(self) -> float:
        """Return the longest time between two acknowledged writes, in seconds."""
        return max(
            (
                later - earlier
                for earlier, later in zip(self.moments, self.moments[1:], strict=False)
            ),
            default=0.0,
        )


@contextmanager
def writing() -> Iterator[Written]:
    """Write to the API while the block runs; the result is complete when the block has ended."""
    written = Written()
    on("bootstrap", "tee", "/root/writer.py", stdin=SCRIPT)
    command = [LAB, "exec", "bootstrap", "--", "python3", "/root/writer.py"]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield written
        finally:
            out, _ = process.communicate(input="stop\n", timeout=60)
            written.moments += [float(line) for line in out.split()]


def credentials() -> Elsewhere:
    """Return an API client with the administrator's rights on cp-1.

    Create a Service for the tests to look up, with its Pod on another node than bootstrap.
    """
    for name in ("admin.crt", "admin.key"):
        text = on("bootstrap", "cat", f"/etc/kubernetes/pki/{name}").stdout
        on(
            "cp-1",
            "install",
            "-D",
            "-m",
            "600",
            "/dev/stdin",
            f"/root/elsewhere/{name}",
            stdin=text,
        )
    serve = "mkdir /tmp/www && echo ok > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
    pod = {**_pod("lives", serve), "metadata": {"name": "lives", "labels": {"app": "lives"}}}
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    service = {"selector": {"app": "lives"}, "ports": [{"port": 8080}]}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lives"}, "spec": service}
    kubectl("apply", "--filename=-", stdin=json.dumps(body))
    kubectl("wait", "pod/lives", "--for=condition=Ready", "--timeout=60s")
    assert get("pod", "lives")["spec"]["nodeName"] != "bootstrap"
    return Elsewhere()


class Elsewhere:
    """A client that reaches the API from cp-1 through the proxy of that node."""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request; repeat it if the API server is shutting down."""
        words = [
            *(
                "curl",
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--max-time",
                "10",
                "--retry",
                "3",
                "--retry-all-errors",
            ),
            *(
                "--cacert",
                "/etc/kubernetes/pki/ca.crt",
                "--cert",
                "/root/elsewhere/admin.crt",
                "--key",
                "/root/elsewhere/admin.key",
            ),
            *(
                "--request",
                method,
                "--header",
                "Content-Type: application/json",
                f"https://127.0.0.1:7443{path}",
            ),
            *(("--data", "@-") if body else ()),
        ]
        return dict(json.loads(on("cp-1", *words, stdin=json.dumps(body) if body else None).stdout))

    def until_not_ready(self, gone: str, others: list[str], timeout: float) -> None:
        """Wait until one node is not Ready; fail if another node stops being Ready."""
        deadline = time.monotonic() + timeout
        while True:
            nodes = {
                item["metadata"]["name"]: is_true(item, "Ready")
                for item in self.call("GET", "/api/v1/nodes")["items"]
            }
            assert all(nodes[name] for name in others), nodes
            if not nodes[gone]:
                return
            assert time.monotonic() < deadline, nodes
            time.sleep(2)

    def run_pod(self, name: str, script: str, timeout: float = 120) -> None:
        """Create a Pod and wait until it succeeds."""
        pods = "/api/v1/namespaces/default/pods"
        self.call("POST", pods, _pod(name, script))
        deadline = time.monotonic() + timeout
        while (pod := self.call("GET", f"{pods}/{name}"))["status"]["phase"] != "Succeeded":
            assert pod["status"]["phase"] != "Failed", pod["status"]
            assert time.monotonic() < deadline, pod["status"]
            time.sleep(1)


def _pod(name: str, script: str) -> dict[str, Any]:
    container = {
        "name": name,
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "imagePullPolicy": "IfNotPresent",
    }
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
