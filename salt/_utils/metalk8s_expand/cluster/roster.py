"""The hosts that salt-ssh may reach: declared nodes by the pillar, other Nodes by their
annotations.

A Node that cannot be used does not affect the others, but it is an error if it is named exactly:
for an empty set of targets salt-ssh would connect to any host that has that name, with default
credentials.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.kubernetes.kubeconfig import kubeconfig_of
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.clients.salt import cache
from metalk8s_expand.clients.salt.pillar import declared_pillar
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import roles, ssh_annotations
from metalk8s_expand.domain.node.objects import name_of
from metalk8s_expand.domain.node.spec import DEFAULT_KEY_DIRECTORY, Node, Ssh
from metalk8s_expand.domain.salt import targets as targeting
from metalk8s_expand.errors import SettingsError

log = logging.getLogger(__name__)

KNOWN_HOSTS = "known_hosts"
PRE_FLIGHT = "ssh-preflight.sh"
# OpenSSH looks up a host's declared key under this alias, which no other known_hosts file holds.
ALIAS = "metalk8s-expand.{name}"
STRICT = {settings.KNOWN: "yes", settings.ACCEPT_NEW: "accept-new"}

Object = Mapping[str, Any]
Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class RosterAccess:
    """The common settings of all roster entries.

    ``declared_keys`` is the directory for the declared host keys. ``accepted_keys`` is the file for
    the keys of first contacts; if it is empty, they are written to ``known_hosts``. ``pre_flight``
    is the path of the script that salt-ssh runs first on each host.
    """

    key_directory: str = DEFAULT_KEY_DIRECTORY
    known_hosts: str = f"{DEFAULT_KEY_DIRECTORY}/{KNOWN_HOSTS}"
    host_keys: str = settings.KNOWN
    declared_keys: str = ""
    accepted_keys: str = ""
    pre_flight: str = ""
    nodegroups: Mapping[str, Any] = field(default_factory=dict)


def targets(
    nodes: Sequence[Object],
    declared: Mapping[str, Node],
    tgt: str | Iterable[str],
    tgt_type: str = "glob",
    access: RosterAccess | None = None,
) -> Entries:
    """Return the roster entries of these targets.

    Raises SettingsError when an exactly named one cannot be reached.
    """
    access = access or RosterAccess()
    observed = {name_of(node): node for node in nodes}
    exact = targeting.exact_names(tgt, tgt_type)
    chosen = exact or targeting.matching(
        tgt, tgt_type, _known(observed, declared), access.nodegroups
    )
    return {
        name: entry(name, ssh, access)
        for name, ssh in _reachable(chosen, exact, observed, declared, access)
    }


def entries(
    kube: Callable[[], Kube],
    declared: Settings,
    tgt: str | Iterable[str],
    tgt_type: str = "glob",
    access: RosterAccess | None = None,
) -> Entries:
    """Return the entries, with the Nodes from the Kubernetes API.

    The function requests only what it needs: nothing when all are declared, one Node when one is
    missing.
    """
    exact = targeting.exact_names(tgt, tgt_type)
    missing = [name for name in exact if name not in declared.nodes]
    nodes = [] if exact and not missing else _fetch(kube(), missing)
    return targets(nodes, declared.nodes, tgt, tgt_type, access)


def from_cluster(
    opts: Mapping[str, Any], tgt: str | Iterable[str], tgt_type: str = "glob"
) -> Entries:
    """Return the entries, with the master's pillar and the API that its configuration names."""
    for warning in host_key_warnings(opts):
        log.warning("%s", warning)
    pillar = declared_pillar(opts)
    declared = settings.Settings() if pillar is None else settings.parse(pillar)
    return entries(lambda: _kube(opts), declared, tgt, tgt_type, access_from(opts, declared))


def access_from(opts: Mapping[str, Any], declared: Settings) -> RosterAccess:
    """Return the common roster settings from the master's configuration and the declaration."""
    known_hosts = opts.get("known_hosts_file") or f"{declared.key_directory}/{KNOWN_HOSTS}"
    groups = {**(opts.get("nodegroups") or {}), **(opts.get("ssh_list_nodegroups") or {})}
    accepted = ""
    if declared.host_keys == settings.ACCEPT_NEW and not opts.get("known_hosts_file"):
        # MetalK8s mounts the key directory read-only into its Salt master.
        accepted = str(cache.configuration_directory(opts) / KNOWN_HOSTS)
    return RosterAccess(
        declared.key_directory,
        str(known_hosts),
        declared.host_keys,
        str(cache.path(opts) / "host_keys"),
        accepted,
        pre_flight_script(opts),
        groups,
    )


def pre_flight_script(opts: Mapping[str, Any]) -> str:
    """Return the path of MetalK8s's script that installs a Python for salt-ssh, or "".

    MetalK8s 134 and newer put it beside the configuration of their Salt master.
    """
    script = Path(opts.get("conf_file") or "/etc/salt/master").parent / PRE_FLIGHT
    return str(script) if script.is_file() else ""


def ssh_targets(nodes: Iterable[Node], access: RosterAccess) -> list[Target]:
    """Return the SSH targets of declared nodes, from their roster entries."""
    return [Target.from_roster(node.name, entry(node.name, node.ssh, access)) for node in nodes]


def entry(name: str, ssh: Ssh, access: RosterAccess) -> dict[str, Any]:
    """Return the salt-ssh roster entry of one host.

    A changed host key is refused, and an unknown one unless the declaration accepts it.
    """
    fields: dict[str, Any] = {
        "host": ssh.host,
        "port": ssh.port,
        "user": ssh.user,
        "priv": ssh.key_path,
        "sudo": ssh.sudo,
        "ssh_options": _host_key_options(name, ssh, access),
    }
    if access.pre_flight:
        # The script calls sudo itself, if its argument says so.
        fields["ssh_pre_flight"] = access.pre_flight
        fields["ssh_pre_flight_args"] = "sudo" if ssh.sudo else ""
    return fields


def _host_key_options(name: str, ssh: Ssh, access: RosterAccess) -> list[str]:
    """Return the options that verify the host key, first in order.

    OpenSSH uses the first value of an option, and Salt may have named its own UserKnownHostsFile
    before.
    """
    if not ssh.host_key:
        strict = f"StrictHostKeyChecking={STRICT[access.host_keys]}"
        if not access.accepted_keys:
            return [strict, f"UserKnownHostsFile={access.known_hosts}"]
        return [
            strict,
            f"UserKnownHostsFile={access.accepted_keys}",
            f"GlobalKnownHostsFile={access.known_hosts}",
        ]
    alias = ALIAS.format(name=name)
    expected = cache.keep(access.declared_keys, name, f"{alias} {ssh.host_key}\n")
    return [
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/dev/null",
        f"GlobalKnownHostsFile={expected}",
        f"HostKeyAlias={alias}",
    ]


def host_key_warnings(opts: Mapping[str, Any], nodes: Iterable[Node] = ()) -> list[str]:
    """Return the master options that prevent salt-ssh from verifying host keys.

    Their values precede those of the roster. The preflight verifies the keys of these nodes before
    salt-ssh connects, so there is no warning if each of them declares its key.
    """
    declared = list(nodes)
    if declared and all(node.ssh.host_key for node in declared):
        return []
    warnings = []
    for option in ("no_host_keys", "ignore_host_keys", "ssh_no_host_keys"):
        if opts.get(option):
            warnings.append(
                f"{option} is set for the master, so salt-ssh verifies no host key: declare"
                " ssh:host_key, which the preflight verifies"
            )
    return warnings


def _kube(opts: Mapping[str, Any]) -> Kube:
    return kubeconfig_of(opts).connect()


def _fetch(kube: Kube, names: Sequence[str]) -> list[dict[str, Any]]:
    if len(names) != 1:
        return kube.nodes()
    node = kube.node(names[0])
    return [] if node is None else [node]


def _reachable(
    chosen: Iterable[str],
    exact: Sequence[str],
    observed: Mapping[str, Object],
    declared: Mapping[str, Node],
    access: RosterAccess,
) -> Iterable[tuple[str, Ssh]]:
    for name in chosen:
        try:
            yield name, _ssh(name, observed, declared, access.key_directory)
        except SettingsError as error:
            if name in exact:
                raise
            log.warning("left out of the roster: %s", error)


def _ssh(
    name: str, observed: Mapping[str, Object], declared: Mapping[str, Node], key_directory: str
) -> Ssh:
    if name in declared:
        return declared[name].ssh
    if name not in observed:
        raise SettingsError(
            "no Node of this name exists, and the pillar does not declare it",
            node=name,
            hint="check the name with: kubectl get nodes",
        )
    return ssh_annotations.from_annotations(
        name, _metadata(observed[name]).get("annotations"), key_directory
    )


def _known(
    observed: Mapping[str, Object], declared: Mapping[str, Node]
) -> dict[str, tuple[str, ...]]:
    return {name: _roles(node) for name, node in {**observed, **declared}.items()}


def _roles(node: Any) -> tuple[str, ...]:
    return (
        node.roles
        if isinstance(node, Node)
        else roles.observed_roles(_metadata(node).get("labels") or {})
    )


def _metadata(node: Object) -> Object:
    return node.get("metadata") or {}
