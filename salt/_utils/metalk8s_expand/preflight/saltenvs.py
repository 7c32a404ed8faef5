"""Check that each node's version has a saltenv and that the saltenv holds the deployment.

Salt would report it only in the return of the job, after the Node was registered: "No matching sls
found".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from metalk8s_expand.domain.declaration.settings import PILLAR, Settings
from metalk8s_expand.domain.node.objects import first_names
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.parsing.addresses import IPV6, family, is_ipv6
from metalk8s_expand.domain.preflight import saltenv_lists
from metalk8s_expand.domain.preflight.saltenv_lists import SaltenvLists
from metalk8s_expand.domain.salt import saltenv as names
from metalk8s_expand.domain.salt.saltenv import ORCHESTRATION, of_version
from metalk8s_expand.errors import Problem, SettingsError, UnreachableError

log = logging.getLogger(__name__)


class Files(Protocol):
    """The master's file server."""

    def has(self, sls: str, saltenv: str) -> bool:
        """Return whether this SLS exists."""

    def saltenvs(self) -> list[str]:
        """Return the names of all saltenvs."""


class Documents(Protocol):
    """The YAML files of the master's file server."""

    def document(self, path: str, saltenv: str) -> Any:
        """Return the parsed file of a saltenv, or None."""


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


def is_of_metalk8s(files: Files, name: str) -> bool:
    """Return whether MetalK8s's own states, not this project's, deploy from a saltenv."""
    return names.is_of_metalk8s(files.has, name)


def family_problems(files: Files, declared: Settings) -> list[Problem]:
    """Return each declared IPv6 address and network that MetalK8s's own states cannot deploy.

    Its grains list IPv4 addresses only, its Service addresses come from an IPv4 network, and its
    URLs of etcd and of the API servers have no brackets. The file server is asked only if the
    declaration has an IPv6 address or network.
    """
    problems = []
    for node in declared.nodes.values():
        if is_ipv6(node.address) and is_of_metalk8s(files, saltenv(node)):
            path = f"{PILLAR}:nodes:{node.name}:address"
            remedy = "write the host's IPv4 address in the control-plane network"
            text = f"is IPv6, which the deployment of {saltenv(node)} cannot use"
            problems.append(Problem(path, node.address, text, remedy))
    networks = {"pod_cidr": declared.pod_cidr, "service_cidr": declared.service_cidr}
    for key, network in networks.items():
        if not network or family(network) != IPV6:
            continue
        used = sorted({saltenv(node) for node in declared.nodes.values()})
        theirs = [name for name in used if is_of_metalk8s(files, name)]
        if theirs:
            text = f"is IPv6, which the deployment of {', '.join(theirs)} cannot use"
            remedy = "write the cluster's IPv4 network"
            problems.append(Problem(f"{PILLAR}:networks:{key}", network, text, remedy))
    return problems


def ensure_families_supported(files: Files, declared: Settings) -> None:
    """Raise SettingsError if the declaration needs IPv6 and MetalK8s's own states deploy it."""
    problems = family_problems(files, declared)
    if problems:
        raise SettingsError(
            "MetalK8s deploys IPv4 clusters only; nothing was changed",
            problems=problems,
            hint="fix these problems, then run the same command again",
        )


def lists(files: Documents, versions: Iterable[str]) -> dict[str, SaltenvLists]:
    """Return what MetalK8s refuses on hosts, by version, for the versions that have its saltenv."""
    by_version = {}
    for version in versions:
        try:
            document = files.document(saltenv_lists.FILE, of_version(version))
        except UnreachableError as error:
            log.warning("the lists of MetalK8s %s are unknown: %s", version, error.message)
            continue
        if document is not None:
            by_version[version] = saltenv_lists.parse(document)
    return by_version


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
    return f"the saltenv {name}, needed to deploy {first_names(who)}, {missing}"
