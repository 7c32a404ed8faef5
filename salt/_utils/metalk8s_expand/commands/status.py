"""Report the state of the cluster and its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.kubernetes.objects import JsonObject
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.cluster import certificates, roster
from metalk8s_expand.cluster import health as verify
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import Call, Result
from metalk8s_expand.domain.certificates import expiry as certificate_rules
from metalk8s_expand.domain.node import health
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.reports import run
from metalk8s_expand.domain.runs import queue_rules
from metalk8s_expand.errors import DeployError
from metalk8s_expand.minion import certificates as host_certificates
from metalk8s_expand.runs import follow as following
from metalk8s_expand.runs import queue_worker


class Condition(Call):
    """The commands that report the cluster's objects and their problems."""

    def status(self, follow: bool = False, with_certificates: bool = True) -> Result:
        """See the runner."""
        arguments.flags(follow=follow, certificates=with_certificates)
        if follow:
            following.follow(self.world.kube, self.world.leases(), self.progress.line, self.clock)
        declared = self._settings()
        observed = self._observed()
        runs = [path.stem.removeprefix("report-") for path in cache.reports(self.opts)]
        now = following.current(self.world.kube, self.world.leases(), self.clock.now())
        at_work = (now or {}).get("nodes", {})
        ending = certificates.overview(self._told(_deployed(observed)) if with_certificates else {})
        rows = {
            name: _status(node, observed.get(name), name in at_work)
            for name, node in declared.nodes.items()
        }
        for name, row in rows.items():
            row["certificates"] = ending.get(name)
        data = {
            "nodes": rows,
            "certificates": ending,
            "queue": queue_worker.rows(self.world.kube),
            "runs": runs[-20:],
            "now": now,
        }
        return self._shown(_status_text, data)

    def health(self, nodes: Names = None, profiles: Names = None) -> Result:
        """See the runner."""
        declared, names = ExpandRequest.of(nodes, profiles).settled(self._settings())
        access = self.world.access()
        problems = verify.cluster_health_problems(access) + verify.addon_problems(access)
        observed = self._observed()
        for node in declared.chosen(names):
            if node.name in observed:
                problems += verify.node_health_problems(access, node, observed=observed[node.name])
                problems += health.cordon_problems(observed[node.name])
            else:
                problems.append(f"Node {node.name} is declared and not registered")
        told = self._told(_deployed(observed, names))
        problems += certificate_rules.problems(told, declared.certificates)
        if problems:
            hint = "the first problem is often the reason of the others"
            raise DeployError(
                "the cluster is not as declared", problems=problems, hint=hint, log=verify.LOG
            )
        warnings = certificate_rules.warnings(told, declared.certificates)
        return {"healthy": True, "nodes": len(declared.nodes), "warnings": warnings}

    def _told(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the data of these nodes' certificates and the master's API client certificate."""
        configured = (self.opts.get("metalk8s_expand") or {}).get(
            "kubeconfig", roster.DEFAULT_KUBECONFIG
        )
        return {
            **certificates.observed(self.minions, names),
            **host_certificates.of_master(configured, self.clock),
        }


def _deployed(observed: Mapping[str, JsonObject], names: Sequence[str] | None = None) -> list[str]:
    """Return the deployed nodes among ``names``, or all deployed nodes.

    This includes undeclared nodes: the pillar does not declare the bootstrap node.
    """
    return [
        name
        for name, item in observed.items()
        if health.is_deployed(item) and (names is None or name in names)
    ]


def _status(node: Node, found: JsonObject | None, at_work: bool = False) -> dict[str, Any]:
    """Return the state of a node. A node in deployment has no problems to report yet."""
    if at_work:
        return {"state": "in progress", "roles": list(node.roles), "problems": []}
    if found is None:
        return {"state": "not registered", "roles": list(node.roles), "problems": []}
    problems = health.node_problems(node, found) + health.cordon_problems(found)
    state = "not ready" if problems else "ready"
    if not health.is_deployed(found):
        state = "registered, not deployed"
    return {"state": state, "roles": list(node.roles), "problems": problems}


def _status_text(data: Mapping[str, Any]) -> str:
    rows = [(name, ", ".join(item["roles"]), item["state"]) for name, item in data["nodes"].items()]
    problems = [f"- {problem}" for item in data["nodes"].values() for problem in item["problems"]]
    runs = f"Runs: {', '.join(data['runs']) or 'none'}"
    ending = certificates.render_certificates(data["certificates"])
    blocks = [
        run.table(("node", "roles", "state"), rows),
        "\n".join(problems),
        run.table(("node", "certificate that ends first", "on", "days left"), ending)
        if ending
        else "",
        following.render_status(data["now"]),
        queue_rules.text(data["queue"]),
        runs,
    ]
    return "\n\n".join(block for block in blocks if block)
