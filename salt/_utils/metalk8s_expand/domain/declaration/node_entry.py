"""Parse the entries of the declaration: a node, a profile and the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from metalk8s_expand.domain.declaration import fields
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.roles import PROFILES, Profile, Taint
from metalk8s_expand.domain.node.spec import DEFAULT_KEY_DIRECTORY, KEY_NAME, Node, Ssh
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import Reader


@dataclass(frozen=True)
class Defaults:
    """Values for nodes that do not set their own."""

    profile: str | None = None
    version: str | None = None
    ssh: Ssh = field(default_factory=lambda: Ssh(""))


@dataclass(frozen=True)
class Terms:
    """Values that the declaration of a node may refer to."""

    profiles: Mapping[str, Profile] = field(default_factory=lambda: PROFILES)
    defaults: Defaults = field(default_factory=Defaults)
    key_directory: str = DEFAULT_KEY_DIRECTORY


@dataclass(frozen=True)
class Declared:
    """A node and the preflight checks that its declaration skips."""

    node: Node
    skip: tuple[str, ...] = ()


def read_profiles(reader: Reader) -> dict[str, Profile]:
    """Return the built-in profiles and the declared profiles."""
    profiles = dict(PROFILES)
    for name in reader.items(fields.own_profile_name):
        profiles[name] = _profile(reader.section(name), name)
    return profiles


def read_defaults(reader: Reader, profiles: Iterable[str], key_directory: str) -> Defaults:
    profile = reader.take("profile", fields.known_profile(profiles), None)
    version = reader.take("version", scalars.version, None)
    base = Ssh("", key_path=f"{key_directory}/{KEY_NAME}")
    ssh = _ssh(reader.section("ssh"), base, key_directory)
    reader.finish()
    return Defaults(profile, version, ssh)


def read_node(reader: Reader, name: str, terms: Terms) -> Declared:
    """Return one node, with an empty version if neither it nor the defaults have one.

    If the reader notes problems, the caller must not use the node.
    """
    profile = _role_set(reader, terms)
    address = _required(reader, "address", scalars.address)
    version = reader.take("version", scalars.version, terms.defaults.version)
    labels = {**profile.labels, **_labels(reader.section("labels"))}
    ssh = _node_ssh(reader.section("ssh"), address, terms)
    preflight = reader.section("preflight")
    skip = read_skip(preflight)
    preflight.finish()
    reader.finish()
    node = Node(
        name,
        version or "",
        profile.roles,
        profile.taints,
        labels,
        ssh,
        address,
        profile.name or None,
    )
    return Declared(node, skip)


def read_skip(preflight: Reader) -> tuple[str, ...]:
    """Return the check names below the key ``skip``."""
    return preflight.take_list("skip", fields.check)


def _required(reader: Reader, key: str, parse: scalars.Parser) -> str:
    if key not in reader:
        reader.note(reader.at(key), None, "is missing", "write the node's control-plane IP")
    return reader.take(key, parse, "")


def _role_set(reader: Reader, terms: Terms) -> Profile:
    """Return the node's profile, its own roles and taints, or the default profile."""
    explicit = "roles" in reader or "taints" in reader
    own = Profile("", _roles(reader, required="roles" in reader), _taints(reader))
    name = reader.take("profile", fields.known_profile(terms.profiles), None)
    if explicit and "profile" in reader:
        reader.note(
            reader.at("profile"),
            reader["profile"],
            "is set together with roles or taints",
            "set either profile, or roles and taints",
        )
    if explicit:
        _refuse_taints_alone(reader)
        return own
    chosen = name or terms.defaults.profile
    if chosen is None and "profile" not in reader:
        reader.note(
            reader.at("profile"),
            None,
            "is missing",
            f"write one of {', '.join(terms.profiles)}, or roles and taints",
        )
    return terms.profiles[chosen] if chosen else own


def _refuse_taints_alone(reader: Reader) -> None:
    if "roles" not in reader:
        reader.note(reader.at("roles"), None, "is missing", "set the roles of the node, too")


def _profile(reader: Reader, name: str) -> Profile:
    profile = Profile(
        name, _roles(reader, required=True), _taints(reader), _labels(reader.section("labels"))
    )
    reader.finish()
    return profile


def _roles(reader: Reader, required: bool) -> tuple[str, ...]:
    node_roles = reader.take_list("roles", fields.role)
    if required and reader["roles"] in (None, [], ()):
        reader.note(
            reader.at("roles"),
            reader["roles"],
            "is empty",
            f"write at least one of {', '.join(roles.DECLARABLE)}",
        )
    if roles.MASTER in node_roles and roles.ETCD not in node_roles:
        reader.note(reader.at("roles"), reader["roles"], "has master without etcd", _MASTER_ALONE)
    return node_roles


_MASTER_ALONE = (
    "an API server uses the etcd member on its own node: write both roles, or etcd alone"
)


def _taints(reader: Reader) -> tuple[Taint, ...]:
    taints = reader.take_list("taints", fields.taint)
    identities = [(taint.key, taint.effect) for taint in taints]
    repeated = {identity for identity in identities if identities.count(identity) > 1}
    for key, effect in repeated:
        reader.note(reader.at("taints"), f"{key}:{effect}", "appears twice", "keep one of them")
    return taints


def _labels(reader: Reader) -> dict[str, str]:
    keys = reader.items(fields.free_label_key)
    return {key: reader.take(key, scalars.label_value, "") for key in keys}


def _ssh(
    reader: Reader, base: Ssh, key_directory: str, host: str = "", host_key: str | None = None
) -> Ssh:
    ssh = Ssh(
        host,
        reader.take("port", scalars.port, base.port),
        reader.take("user", scalars.user, base.user),
        reader.take("key_path", scalars.key_path(key_directory), base.key_path),
        reader.take("sudo", scalars.boolean, base.sudo),
        host_key,
    )
    reader.finish()
    return ssh


def _node_ssh(reader: Reader, address: str, terms: Terms) -> Ssh:
    host = reader.take("host", scalars.host, address)
    host_key = reader.take("host_key", scalars.host_key, None)
    return _ssh(reader, terms.defaults.ssh, terms.key_directory, host, host_key)
