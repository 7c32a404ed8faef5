"""The hosts that salt-ssh may reach: declared nodes by the pillar, other Nodes by their annotations.

A Node that cannot be used never spoils the others, but is an error when it is named exactly: for an empty set of
targets salt-ssh would connect to whatever host has that name, with default credentials.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.clients.kube import Kube
from metalk8s_expand.clients.salt import declared_pillar
from metalk8s_expand.domain import annotations as ssh_annotations
from metalk8s_expand.domain import roles, settings, targeting
from metalk8s_expand.domain.nodes import DEFAULT_KEY_DIRECTORY, Node, Ssh
from metalk8s_expand.errors import SettingsError

log = logging.getLogger(__name__)

DEFAULT_KUBECONFIG = "/etc/kubernetes/admin.conf"
KNOWN_HOSTS = "known_hosts"

Object = Mapping[str, Any]
Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Access:
    """What holds for every host of the roster."""

    key_directory: str = DEFAULT_KEY_DIRECTORY
    known_hosts: str = f"{DEFAULT_KEY_DIRECTORY}/{KNOWN_HOSTS}"
    nodegroups: Mapping[str, Any] = field(default_factory=dict)


def targets(
    nodes: Sequence[Object],
    declared: Mapping[str, Node],
    tgt: str | Iterable[str],
    tgt_type: str = "glob",
    access: Access | None = None,
) -> Entries:
    """The roster's entries for these targets; SettingsError when an exactly named one cannot be reached."""
    access = access or Access()
    observed = {_name(node): node for node in nodes}
    exact = targeting.exact_names(tgt, tgt_type)
    known = {name: _roles(node) for name, node in {**observed, **declared}.items()}
    chosen = targeting.matching(tgt, tgt_type, known, access.nodegroups)
    return {name: entry(ssh, access.known_hosts) for name, ssh in _reachable(chosen, exact, observed, declared, access)}


def from_cluster(opts: Mapping[str, Any], tgt: str | Iterable[str], tgt_type: str = "glob") -> Entries:
    """The same, with the declaration read from the master's pillar and the Nodes from the Kubernetes API.

    The API is asked for no more than is needed: nothing when all are declared, one Node when one is missing.
    """
    warn_about_host_keys(opts)
    pillar = declared_pillar(opts)
    declared = settings.Settings() if pillar is None else settings.parse(pillar)
    missing = [name for name in targeting.exact_names(tgt, tgt_type) if name not in declared.nodes]
    nodes = [] if targeting.exact_names(tgt, tgt_type) and not missing else _fetch(opts, missing)
    return targets(nodes, declared.nodes, tgt, tgt_type, access_from(opts, declared.key_directory))


def access_from(opts: Mapping[str, Any], key_directory: str) -> Access:
    """The roster's common terms by the master's configuration."""
    known_hosts = opts.get("known_hosts_file") or f"{key_directory}/{KNOWN_HOSTS}"
    groups = {**(opts.get("nodegroups") or {}), **(opts.get("ssh_list_nodegroups") or {})}
    return Access(key_directory, str(known_hosts), groups)


def entry(ssh: Ssh, known_hosts: str) -> dict[str, Any]:
    """One host in salt-ssh's words; an unknown or changed host key is refused."""
    return {
        "host": ssh.host,
        "port": ssh.port,
        "user": ssh.user,
        "priv": ssh.key_path,
        "sudo": ssh.sudo,
        "ssh_options": ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={known_hosts}"],
    }


def warn_about_host_keys(opts: Mapping[str, Any]) -> None:
    """OpenSSH takes the first value of an option, and Salt writes these before ours."""
    for option in ("no_host_keys", "ignore_host_keys", "ssh_no_host_keys"):
        if opts.get(option):
            log.warning("%s is set in the master's configuration: salt-ssh does not verify host keys; remove it", option)


def _fetch(opts: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    configured = opts.get("metalk8s_expand") or {}
    kube = Kube.from_kubeconfig(configured.get("kubeconfig", DEFAULT_KUBECONFIG))
    if len(names) != 1:
        return kube.nodes()
    node = kube.node(names[0])
    return [] if node is None else [node]


def _reachable(
    chosen: Iterable[str], exact: Sequence[str], observed: Mapping[str, Object], declared: Mapping[str, Node], access: Access
) -> Iterable[tuple[str, Ssh]]:
    for name in chosen:
        try:
            yield name, _ssh(name, observed, declared, access.key_directory)
        except SettingsError as error:
            if name in exact:
                raise
            log.warning("left out of the roster: %s", error)


def _ssh(name: str, observed: Mapping[str, Object], declared: Mapping[str, Node], key_directory: str) -> Ssh:
    if name in declared:
        return declared[name].ssh
    if name not in observed:
        raise SettingsError(
            "there is no Node of this name, and the pillar does not declare it",
            node=name,
            hint="check the name with: kubectl get nodes",
        )
    return ssh_annotations.from_annotations(name, _metadata(observed[name]).get("annotations"), key_directory)


def _roles(node: Any) -> tuple[str, ...]:
    return node.roles if isinstance(node, Node) else roles.observed_roles(_metadata(node).get("labels") or {})


def _metadata(node: Object) -> Object:
    return node.get("metadata") or {}


def _name(node: Object) -> str:
    return str(_metadata(node).get("name", ""))
