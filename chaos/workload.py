"""Run clients of every API server: ``python -m chaos.workload``.

The clients read a few keys and change them by compare-and-swap until standard input ends. They run
in the lab's network. Each operation is a line of JSON in the file with the times of its start and
end by the monotonic clock, which all processes of the machine share.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from chaos import https
from chaos.https import Client, NotSentError
from chaos.linearizability import FAILED, OK, READ, UNKNOWN, WRITE

NAMESPACE = "chaos"
KEYS = tuple(f"key-{number}" for number in range(4))
COLLECTION = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PORT = 6443
PAUSE_S = 0.3
# The pause after a failure, so that the clients do not flood a server that is down.
REST_S = 0.4
PREPARE_S = 120.0


def outcome(status: int) -> str:
    """Return the outcome of a write from the HTTP status.

    After an error of the server the outcome is unknown: etcd may have done the write.
    """
    if status in (200, 201):
        return OK
    return UNKNOWN if status >= 500 or status == 408 else FAILED


class Log:
    """The file of all operations; each call writes a complete line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._mutex = threading.Lock()

    def __call__(self, item: Mapping[str, Any]) -> None:
        with self._mutex:
            self._file.write(json.dumps(item) + "\n")
            self._file.flush()


class Worker:
    """A client of a server."""

    def __init__(self, name: str, server: str, client: Client, log: Log, writes: bool) -> None:
        self._name, self._server, self._client, self._log = name, server, client, log
        self._writes = writes
        self._count = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            key = random.choice(KEYS)
            found = self.read(key)
            if found is not None and self._writes:
                found = self.write(key, found)
            stop.wait(PAUSE_S * random.uniform(0.5, 1.5) if found else REST_S)

    def read(self, key: str) -> dict[str, Any] | None:
        return self._timed(READ, key, "GET", f"{COLLECTION}/{key}", None)

    def write(self, key: str, found: Mapping[str, Any]) -> dict[str, Any] | None:
        """Replace the revision that was read, and no newer one."""
        self._count += 1
        body = configmap(key, f"{self._name}-{self._count}", found["metadata"]["resourceVersion"])
        return self._timed(WRITE, key, "PUT", f"{COLLECTION}/{key}", body)

    def create(self, key: str) -> bool:
        """Create a key; return whether it exists then."""
        # Each attempt needs its own value: etcd may have done the first of two attempts.
        self._count += 1
        answer = self._timed(
            WRITE, key, "POST", COLLECTION, configmap(key, f"{self._name}-{self._count}")
        )
        return answer is not None or self.read(key) is not None

    def _timed(
        self, kind: str, key: str, method: str, path: str, body: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        item: dict[str, Any] = {
            "client": self._name,
            "server": self._server,
            "kind": kind,
            "key": key,
        }
        if body is not None:
            expected = body["metadata"].get("resourceVersion")
            item |= {
                "value": body["data"]["value"],
                "expected": int(expected) if expected else None,
            }
        item["invoked"] = time.monotonic()
        answer: dict[str, Any] = {}
        try:
            status, answer = self._client.call(method, path, body)
            item["outcome"] = outcome(status)
        except NotSentError:
            item["outcome"] = FAILED
        except https.ERRORS:
            item["outcome"] = UNKNOWN
        item["returned"] = time.monotonic()
        if item["outcome"] == OK:
            item["revision"] = int(answer["metadata"]["resourceVersion"])
            item.setdefault("value", answer.get("data", {}).get("value"))
        self._log(item)
        return answer if item["outcome"] == OK else None


def configmap(key: str, value: str, version: str | None = None) -> dict[str, Any]:
    metadata = {
        "name": key,
        "namespace": NAMESPACE,
        **({"resourceVersion": version} if version else {}),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


def prepare(client: Client, worker: Worker) -> None:
    """Create the namespace and the keys while the API may still be starting.

    Raise ``TimeoutError`` with the last reason after 120 seconds.
    """
    deadline, reason = time.monotonic() + PREPARE_S, ""
    while time.monotonic() < deadline:
        try:
            status, answer = client.call(
                "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}
            )
            if status in (201, 409) and all(worker.create(key) for key in KEYS):
                return
            reason = f"{status}: {answer.get('message')}"
        except https.ERRORS as error:
            reason = str(error)
        time.sleep(0.5)
    raise TimeoutError(f"the keys could not be made within {PREPARE_S:.0f} s: {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.workload")
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("server", nargs="+", metavar="NAME=ADDRESS")
    arguments = parser.parse_args()
    tls = https.context(arguments.keys, "kubernetes")
    servers = dict(item.split("=") for item in arguments.server)
    stop = threading.Event()
    with arguments.log.open("a", encoding="utf-8") as file:
        log = Log(file)
        first, address = next(iter(servers.items()))
        prepare(
            Client(address, PORT, tls),
            Worker("first", first, Client(address, PORT, tls), log, True),
        )
        threads = []
        for name, address in servers.items():
            for number, writes in enumerate((True, True, False)):
                worker = Worker(f"{name}/{number}", name, Client(address, PORT, tls), log, writes)
                threads.append(threading.Thread(target=worker.run, args=(stop,), daemon=True))
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        sys.stdin.read()  # returns when the harness closes the pipe or ends
        stop.set()
        for thread in threads:
            thread.join(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
