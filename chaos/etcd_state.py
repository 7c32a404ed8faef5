"""Read the data and the state of each etcd member: ``python -m chaos.etcd_state``.

The command runs in the lab's network. ``watch`` runs until standard input ends. It writes every
event of each member to the file, before the API server compacts it. It prints the changes of
members to standard output: ``NAME learner`` (added), ``NAME started`` (still a learner), ``NAME
voter``, ``NAME gone``. ``collect`` prints all input of the judgement once at the end.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chaos import https
from chaos.https import Client
from chaos.workload import NAMESPACE

PREFIX = f"/registry/configmaps/{NAMESPACE}/key-"
PORT = 2379
POLL_S = 0.03
COLLECT_S = 60.0
HASH_ATTEMPTS = 15


def watch_request(start: int) -> dict[str, Any]:
    return {"create_request": {**_range(), "start_revision": str(start)}}


def _range() -> dict[str, str]:
    end = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
    return {"key": _encoded(PREFIX), "range_end": _encoded(end)}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def events(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a line of a watch."""
    found = []
    for item in answer.get("result", {}).get("events") or ():
        kv = item["kv"]
        key = base64.b64decode(kv["key"]).decode().rpartition("/")[2]
        found.append(
            {"revision": int(kv["mod_revision"]), "key": key, "version": int(kv.get("version", 0))}
        )
    return found


def compacted(answer: Mapping[str, Any]) -> int | None:
    """Return the compacted revision if the member canceled the watch because of compaction."""
    result = answer.get("result", {})
    if not result.get("canceled"):
        return None
    if "compact_revision" not in result:
        raise ValueError(f"the watch was canceled: {result.get('cancel_reason') or result}")
    return int(result["compact_revision"])


def states(listed: Mapping[str, Any]) -> dict[str, str]:
    """Return the state of each member by name.

    A member that has not started has no name: its peer URL is the key.
    """
    found = {}
    for item in listed.get("members") or ():
        learner, name = bool(item.get("isLearner")), str(item.get("name", ""))
        place = str((item.get("peerURLs") or [""])[0])
        state = "voter"
        if learner:
            state = "started" if name else "learner"
        found[name or place] = state
    return found


def changes(
    before: Mapping[str, str], now: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each change of a member; ``names`` is keyed by address.

    Yield a line also for a step that passed between two polls.
    """
    before, now = (
        {_name(key, names): state for key, state in each.items()} for each in (before, now)
    )
    order = ["learner", "started", "voter"]
    for name, state in now.items():
        passed = order.index(before[name]) + 1 if name in before and before[name] in order else 0
        if before.get(name) != state:
            yield from (
                f"{name} {step}" for step in order[passed : order.index(state) + 1] or [state]
            )
    yield from (f"{name} gone" for name in before if name not in now)


def _name(key: str, names: Mapping[str, str]) -> str:
    return next((name for address, name in names.items() if f"//{address}:" in key), key)


def follow(name: str, client: Client, start: int, write: Any) -> None:
    """Record the events of a member forever; resume a lost connection after the last event."""
    position = start
    while True:
        try:
            for answer in client.lines("/v3/watch", watch_request(position)):
                floor = compacted(answer)
                if floor is not None:
                    position = max(position, floor + 1)
                    break
                for event in events(answer):
                    write({"member": name, **event})
                    position = event["revision"] + 1
        except https.ERRORS:
            pass
        time.sleep(0.3)


def poll(clients: Mapping[str, Client], names: Mapping[str, str]) -> None:
    """Print the changes of members forever, from the first member that answers."""
    known: dict[str, str] | None = None
    while True:
        for client in clients.values():
            try:
                status, answer = client.call(
                    "POST", "/v3/cluster/member/list", {"linearizable": False}
                )
            except https.ERRORS:
                continue
            if status == 200 and answer.get("members"):
                now = states(answer)
                for line in changes(known or {}, now, names) if known is not None else ():
                    print(line, flush=True)
                known = now
                break
        else:
            time.sleep(0.3)
        time.sleep(POLL_S)


def collect(name: str, client: Client, start: int, target: int) -> dict[str, Any]:
    """Return the whole history of a member from ``start`` to ``target``, read from this member."""
    found: list[dict[str, Any]] = []
    floor, end = start - 1, 0
    deadline, reason = time.monotonic() + COLLECT_S, "nothing was heard"
    while time.monotonic() < deadline:
        try:
            for answer in client.lines(
                "/v3/watch", watch_request(floor + 1 if not found else end + 1)
            ):
                lower = compacted(answer)
                if lower is not None:
                    floor, found = lower, []
                    break
                found += events(answer)
                end = max([end, *(item["revision"] for item in found)])
                if end >= target:
                    return {"name": name, "floor": floor, "end": end, "events": found}
        except https.ERRORS as error:
            reason = str(error)
        time.sleep(0.5)
    return {
        "name": name,
        "floor": floor,
        "end": end,
        "events": found,
        "problem": f"it did not get to {target}: {reason}",
    }


def newest(client: Client) -> int:
    """Return the revision of the newest change of the keys, by a read with quorum."""
    answer = _asked(client, "/v3/kv/range", {**_range(), "keys_only": True})
    return max((int(item["mod_revision"]) for item in answer.get("kvs") or ()), default=0)


def current(client: Client) -> int:
    """Return the current revision of the member itself."""
    answer = _asked(client, "/v3/kv/range", {**_range(), "serializable": True, "count_only": True})
    return int(answer["header"]["revision"])


def hashes(clients: Mapping[str, Client]) -> dict[str, Any]:
    """Return the hash of all data at the same revision by member.

    Retry while the members have different compacted revisions.
    """
    found: dict[str, Any] = {}
    for _ in range(HASH_ATTEMPTS):
        try:
            revision = min(current(client) for client in clients.values())
            found = {
                "revision": revision,
                "members": {name: _hash(client, revision) for name, client in clients.items()},
            }
        except https.ERRORS as error:
            found = {"problem": str(error)}
        else:
            if len({item["compact_revision"] for item in found["members"].values()}) == 1:
                return found
        time.sleep(1)
    return found


def _hash(client: Client, revision: int) -> dict[str, str]:
    answer = _asked(client, "/v3/maintenance/hashkv", {"revision": str(revision)})
    return {
        "hash": str(answer.get("hash")),
        "compact_revision": str(answer.get("compact_revision", "0")),
    }


def _asked(client: Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    status, answer = client.call("POST", path, body)
    if status != 200:
        raise ValueError(f"{path}: {status}: {answer.get('message') or answer}")
    return answer


def gathered(clients: Mapping[str, Client], start: int) -> dict[str, Any]:
    """Return the input of the judgement; a member that does not answer is a problem in it."""
    found: dict[str, Any] = {"members": [], "clusters": {}, "lists": {}, "problems": []}
    target = 0
    for name, client in clients.items():
        try:
            target = max(target, newest(client))
        except https.ERRORS as error:
            found["problems"].append(f"{name} does not answer by quorum: {error}")
    for name, client in clients.items():
        history = collect(name, client, start, target)
        found["members"].append(history)
        if "problem" in history:
            found["problems"].append(f"{name}: {history.pop('problem')}")
        try:
            found["clusters"][name] = _asked(client, "/v3/maintenance/status", {})["header"][
                "cluster_id"
            ]
            found["lists"][name] = states(
                _asked(client, "/v3/cluster/member/list", {"linearizable": False})
            )
        except https.ERRORS as error:
            found["problems"].append(f"{name}: {error}")
    return {**found, "hashes": hashes(clients)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.etcd_state")
    parser.add_argument("what", choices=("watch", "collect", "revision"))
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("member", nargs="+", metavar="NAME=ADDRESS")
    arguments = parser.parse_args()
    addresses = dict(item.split("=") for item in arguments.member)
    tls = https.context(arguments.keys, "etcd")

    def clients(timeout: float) -> dict[str, Client]:
        return {name: Client(address, PORT, tls, timeout) for name, address in addresses.items()}

    if arguments.what == "revision":
        print(current(next(iter(clients(5).values()))))
    elif arguments.what == "collect":
        print(json.dumps(gathered(clients(10), arguments.start)))
    else:
        watch(
            clients,
            {address: name for name, address in addresses.items()},
            arguments.log,
            arguments.start,
        )
    return 0


def watch(clients: Any, names: Mapping[str, str], log: Path, start: int) -> None:
    mutex = threading.Lock()
    with log.open("a", encoding="utf-8") as file:

        def write(item: Mapping[str, Any]) -> None:
            with mutex:
                file.write(json.dumps(item) + "\n")
                file.flush()

        for name, client in clients(10).items():
            threading.Thread(target=follow, args=(name, client, start, write), daemon=True).start()
        threading.Thread(target=poll, args=(clients(1), names), daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()
        with mutex:
            file.flush()


if __name__ == "__main__":
    sys.exit(main())
