"""Check the invariants of a run in the cluster, and return the violations as sentences.

The ``…_problems`` functions are pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos import linearizability
from chaos.linearizability import MemberHistory

Found = Mapping[str, Any]
# Print the command lines of all processes that an expansion of a run forked. They inherit an open
# file; see processes.py.
LEFT_OVER = (
    'for p in /proc/[0-9]*; do case "$(readlink $p/fd/9 2>/dev/null)" in /run/chaos/*) '
    "tr '\\0' ' ' <$p/cmdline; echo;; esac; done; true"
)


def member_histories(gathered: Found) -> list[MemberHistory]:
    """Convert the output of ``chaos.etcd_state collect`` for the judgement."""
    return [
        MemberHistory(
            item["name"],
            item["floor"],
            item["end"],
            tuple(linearizability.event(event) for event in item["events"]),
        )
        for item in gathered["members"]
    ]


def etcd_problems(gathered: Found, voters: Sequence[str]) -> list[str]:
    """Check that there is one cluster with exactly the declared voters and the same data on all."""
    found = list(gathered["problems"])
    clusters = gathered["clusters"]
    if len(set(clusters.values())) > 1:
        found.append(f"SPLIT: members are of several clusters: {clusters}")
    wanted = dict.fromkeys(voters, "voter")
    found += [
        f"{name} lists the members {listed}, not {wanted}"
        for name, listed in gathered["lists"].items()
        if listed != wanted
    ]
    return found + hash_problems(gathered["hashes"])


def hash_problems(hashes: Found) -> list[str]:
    """Check that all hashes at a revision are equal.

    Hashes are comparable only if the members have the same compacted revision.
    """
    if "members" not in hashes:
        return [f"the hashes are not known: {hashes.get('problem', 'nothing was asked')}"]
    by_member = hashes["members"]
    if len({item["compact_revision"] for item in by_member.values()}) > 1:
        return [
            f"members stay compacted differently, so their hashes cannot be compared: {by_member}"
        ]
    if len({item["hash"] for item in by_member.values()}) > 1:
        return [f"SPLIT: the hashes differ at revision {hashes['revision']}: {by_member}"]
    return []


def node_problems(nodes: Found, declared: Sequence[str]) -> list[str]:
    """Check that exactly the declared Nodes exist, and that each is Ready and not cordoned."""
    found = {item["metadata"]["name"]: item for item in nodes["items"]}
    wanted = {"bootstrap", *declared}
    problems = [f"Node {name} is not there" for name in sorted(wanted - set(found))]
    problems += [f"Node {name} was not declared" for name in sorted(set(found) - wanted)]
    for name, item in sorted(found.items()):
        if item["spec"].get("unschedulable"):
            problems.append(f"Node {name} is left cordoned")
        if not any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in item["status"].get("conditions", ())
        ):
            problems.append(f"Node {name} is not Ready")
    return problems


def key_problems(keys: Found, declared: Sequence[str]) -> list[str]:
    """Check that exactly the keys of the declared nodes are accepted, and no key is pending."""
    wanted = sorted({"bootstrap", *declared})
    problems = (
        []
        if sorted(keys.get("minions", ())) == wanted
        else [f"accepted minions are {keys.get('minions')}, not {wanted}"]
    )
    for kind in ("minions_pre", "minions_rejected", "minions_denied"):
        if keys.get(kind):
            problems.append(f"{kind}: {keys[kind]}")
    return problems


def lease_problems(lease: Found | None) -> list[str]:
    """Check that the lock is free."""
    holder = ((lease or {}).get("spec") or {}).get("holderIdentity")
    return [f"the Lease is held by {holder}"] if holder else []


def job_problems(processes: str, active: Found) -> list[str]:
    """Check that no job or process of an expansion still runs, on the master or on a minion."""
    problems = [
        f"an expansion's process still runs: {line}"
        for line in processes.splitlines()
        if line.strip()
    ]
    return problems + [
        f"the job {jid} still runs: {item.get('Function')} on {item.get('Running')}"
        for jid, item in active.items()
    ]


def attempt_problems(attempts: Sequence[Found], allowed: frozenset[int]) -> list[str]:
    """Check that each expansion succeeds or states a reason.

    The last one must succeed, or end with an exit code in ``allowed``.
    """
    problems = []
    for item in attempts:
        if (
            not item["killed"]
            and item["code"] != 0
            and not (item["reason"] and item["code"] in range(2, 10))
        ):
            problems.append(
                f"expand {item['number']} ended with {item['code']} and states no reason:"
                f" {item['reason']!r}"
            )
    last = attempts[-1]
    if last["code"] != 0 and last["code"] not in allowed:
        problems.append(
            f"the last expand ended with {last['code']}: {last['reason'] or 'no reason'}"
        )
    return problems


def reason(out: str, err: str) -> str:
    """Return the reason that an expansion states for its failure; empty if it states none."""
    try:
        found = json.loads(out)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    if error := found.get("error"):
        return str(error.get("text") if isinstance(error, dict) else error)
    nodes = [
        node["error"].get("text", "") for node in found.get("nodes") or () if node.get("error")
    ]
    return "\n".join([*nodes, *([] if found.get("ok") else map(str, found.get("notes") or ()))])


class Look:
    """The queries to the cluster; a failed query is a problem and does not hide another problem."""

    def __init__(self, declared: Sequence[str]) -> None:
        from chaos import lab_hosts

        self._hosts = lab_hosts
        self._declared = declared

    def problems(self) -> list[str]:
        questions: tuple[Callable[[], list[str]], ...] = (
            self._nodes,
            self._keys,
            self._lease,
            self._jobs,
            self._health,
        )
        return [line for question in questions for line in self._asked(question)]

    def _asked(self, question: Callable[[], list[str]]) -> list[str]:
        try:
            return question()
        except (self._hosts.ChaosError, ValueError, KeyError, TypeError) as error:
            return [f"{question.__name__.strip('_')}: cannot be known: {error}"]

    def _nodes(self) -> list[str]:
        return node_problems(self._hosts.get("nodes"), self._declared)

    def _keys(self) -> list[str]:
        done = self._hosts.on("bootstrap", "salt-key", "--out=json", "--list=all", timeout=60)
        return key_problems(json.loads(done.stdout), self._declared)

    def _lease(self) -> list[str]:
        text = self._hosts.kubectl(
            "-n",
            "kube-system",
            "get",
            "lease",
            "metalk8s-expand",
            "--ignore-not-found",
            "--output=json",
        )
        return lease_problems(json.loads(text) if text.strip() else None)

    def _jobs(self) -> list[str]:
        processes = self._hosts.shell("bootstrap", LEFT_OVER)
        done = self._hosts.on("bootstrap", "salt-run", "--out=json", "jobs.active", timeout=120)
        return job_problems(processes, json.loads(done.stdout or "{}"))

    def _health(self) -> list[str]:
        done = self._hosts.on(
            "bootstrap",
            "salt-run",
            "--out=json",
            "metalk8s_expand.health",
            timeout=180,
            check=False,
        )
        return (
            []
            if done.returncode == 0
            else [f"health ends with {done.returncode}: {done.stdout[-2000:]}"]
        )
