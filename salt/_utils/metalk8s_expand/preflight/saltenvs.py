"""Check that each node's version has a saltenv and that the saltenv holds the deployment.

Salt would report it only in the return of the job, after the Node was registered: "No matching sls
found".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from metalk8s_expand.domain.node.spec import Node

# The SLS that makes a node's API proxy list all API servers.
APISERVER_PROXY = "metalk8s.roles.node.apiserver_proxy"
ORCHESTRATION = "metalk8s.orchestrate.deploy_node"
PREFIX = "metalk8s-"


class Files(Protocol):
    """The master's file server."""

    def has(self, sls: str, saltenv: str) -> bool:
        """Return whether this SLS exists."""

    def saltenvs(self) -> list[str]:
        """Return the names of all saltenvs."""


def of_version(version: str) -> str:
    """Return the saltenv that deploys nodes of this version."""
    return f"{PREFIX}{version}"


def saltenv(node: Node) -> str:
    """Return the saltenv that deploys the node."""
    return of_version(node.version)


def problems(files: Files, nodes: Sequence[Node]) -> list[str]:
    """Return the missing or incomplete saltenvs, each once, with the nodes that need it."""
    needed: dict[str, list[str]] = {}
    for node in nodes:
        needed.setdefault(saltenv(node), []).append(node.name)
    missing = []
    for name, who in needed.items():
        if not files.has(ORCHESTRATION, name):
            missing.append(_problem(files, name, who))
    return missing


def hint(files: Files) -> str:
    """Return the remedy."""
    usable = [name for name in files.saltenvs() if files.has(ORCHESTRATION, name)]
    there = (
        f"these saltenvs provide it: {', '.join(usable)}" if usable else "no saltenv provides it"
    )
    return f"correct the version in the pillar, or serve its tree under file_roots; {there}"


def _problem(files: Files, name: str, who: Sequence[str]) -> str:
    missing = (
        f"has no {ORCHESTRATION}" if name in files.saltenvs() else "does not exist on this master"
    )
    few = ", ".join(who[:5]) + (f" and {len(who) - 5} more" if len(who) > 5 else "")
    return f"the saltenv {name}, needed to deploy {few}, {missing}"
