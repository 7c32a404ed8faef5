"""Parse the operator's declaration strictly: return valid settings or report all problems."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from metalk8s_expand.domain.certificates import expiry as certificates
from metalk8s_expand.domain.certificates.expiry import Limits
from metalk8s_expand.domain.declaration.node_entry import (
    Declared,
    Terms,
    read_defaults,
    read_node,
    read_profiles,
    read_skip,
)
from metalk8s_expand.domain.etcd import snapshot_policy
from metalk8s_expand.domain.etcd.snapshot_policy import SnapshotSettings
from metalk8s_expand.domain.node.spec import DEFAULT_KEY_DIRECTORY, Node
from metalk8s_expand.domain.parsing import addresses, scalars
from metalk8s_expand.domain.parsing.reader import Problems, Reader, suggestion
from metalk8s_expand.domain.preflight import thresholds
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.errors import Problem, SettingsError

PILLAR = "metalk8s_expand"
WRONG_ARGUMENTS = "the arguments are invalid; nothing was changed"
DEFAULT_MAX_PARALLEL, MOST_PARALLEL = 10, 100
DEFAULT_DEPLOY_TIMEOUT = 1800
DEFAULT_SSH_TIMEOUT = 10
DEFAULT_SSH_PARALLEL = 32
# Policy for a host without a declared host key: known_hosts must contain the key (known), or SSH
# adds it there at the first connection (accept-new).
KNOWN, ACCEPT_NEW = "known", "accept-new"


@dataclass(frozen=True)
class Settings:
    """The parsed declaration: timeouts in seconds, nodes in their declared order.

    The version of a node is empty if the operator states none; ``cluster_defaults`` completes it
    and sets ``ca_minion``, the minion that signs the cluster's certificates.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    max_parallel: int = DEFAULT_MAX_PARALLEL
    deploy_timeout: int = DEFAULT_DEPLOY_TIMEOUT
    ssh_timeout: int = DEFAULT_SSH_TIMEOUT
    ssh_parallel: int = DEFAULT_SSH_PARALLEL
    host_keys: str = KNOWN
    pod_cidr: str | None = None
    service_cidr: str | None = None
    ca_minion: str = ""
    probe_image: str | None = None
    skip: tuple[str, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    node_skip: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    etcd_snapshot: SnapshotSettings = field(default_factory=SnapshotSettings)
    certificates: Limits = field(default_factory=Limits)

    @property
    def key_directory(self) -> str:
        return self.terms.key_directory

    def skipped(self, name: str) -> frozenset[str]:
        """Return the preflight checks that this node skips."""
        return frozenset((*self.skip, *self.node_skip.get(name, ())))

    def node(self, name: str) -> Node:
        """Return the declared node; raise SettingsError that lists the declared names otherwise."""
        return self.chosen([name])[0]

    def chosen(self, names: Iterable[str] | None) -> list[Node]:
        """Return the nodes with these names in their declared order; None means all nodes.

        Raise SettingsError that lists the undeclared names.
        """
        wanted = self.nodes.keys() if names is None else dict.fromkeys(names).keys()
        unknown = [name for name in wanted if name not in self.nodes]
        if unknown:
            problems = []
            for name in unknown:
                remedy = suggestion(name, self.nodes)
                problems.append(Problem(f"{PILLAR}:nodes", name, "is not declared", remedy))
            what = "this node" if len(unknown) == 1 else "these nodes"
            raise SettingsError(
                f"the pillar does not declare {what}", node=", ".join(unknown), problems=problems
            )
        return [node for name, node in self.nodes.items() if name in wanted]


def parse(pillar: object) -> Settings:
    """Return the settings of the ``metalk8s_expand`` pillar mapping.

    Raise SettingsError that lists all its problems.
    """
    problems: Problems = []
    reader = Reader(pillar, PILLAR, problems)
    terms = _terms(reader)
    networks = _networks(reader.section("networks"))
    declared = _nodes(reader.section("nodes"), terms)
    skip, limits = _preflight(reader.section("preflight"))
    settings = Settings(
        nodes={name: entry.node for name, entry in declared.items()},
        terms=terms,
        max_parallel=reader.take(
            "max_parallel", scalars.integer(1, MOST_PARALLEL), DEFAULT_MAX_PARALLEL
        ),
        deploy_timeout=reader.take(
            "deploy_timeout", scalars.integer(1, 86400), DEFAULT_DEPLOY_TIMEOUT
        ),
        ssh_timeout=reader.take("ssh_timeout", scalars.integer(1, 600), DEFAULT_SSH_TIMEOUT),
        ssh_parallel=reader.take("ssh_parallel", scalars.integer(1, 256), DEFAULT_SSH_PARALLEL),
        host_keys=reader.take("host_keys", scalars.one_of(KNOWN, ACCEPT_NEW), KNOWN),
        pod_cidr=networks["pod_cidr"],
        service_cidr=networks["service_cidr"],
        probe_image=reader.take("probe_image", scalars.text, None),
        skip=skip,
        thresholds=limits,
        node_skip={name: entry.skip for name, entry in declared.items() if entry.skip},
        etcd_snapshot=snapshot_policy.read(reader.section("etcd_snapshot")),
        certificates=certificates.read(reader.section("certificates")),
    )
    reader.finish()
    _check_places(settings, f"{PILLAR}:nodes", settings.nodes, problems)
    refuse("the pillar is invalid; nothing was changed", problems)
    return settings


def with_node(settings: Settings, name: str, overrides: Mapping[str, object]) -> Settings:
    """Return the settings plus one node that the pillar does not declare.

    The arguments are the keys of a node in the pillar. Arguments that are None are ignored. A
    declared node without any argument keeps its declaration.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    if name in settings.nodes and not given:
        return settings
    problems: Problems = []
    entry = _undeclared(settings, name, Reader(given, f"add_node:{name}", problems))
    wider = dataclasses.replace(
        settings,
        nodes={**settings.nodes, name: entry.node},
        node_skip={**settings.node_skip, name: entry.skip},
    )
    _check_places(wider, "add_node", [name], problems)
    refuse(WRONG_ARGUMENTS, problems, name)
    return wider


def with_max_parallel(settings: Settings, value: object) -> Settings:
    """Return the settings with another ``max_parallel`` for one run; None keeps the declared."""
    if value is None:
        return settings
    problems: Problems = []
    reader = Reader({}, "max_parallel", problems)
    number = reader.attempt(
        reader.path, value, scalars.integer(1, MOST_PARALLEL), DEFAULT_MAX_PARALLEL
    )
    refuse(WRONG_ARGUMENTS, problems)
    return dataclasses.replace(settings, max_parallel=number)


def node_from(settings: Settings, name: str, overrides: Mapping[str, object]) -> Node:
    """Return the node that ``with_node`` adds."""
    return with_node(settings, name, overrides).nodes[name]


def even_members_warning(existing_members: int, settings: Settings) -> str | None:
    """Return a warning if the expansion leaves etcd with an even number of members.

    ``existing_members`` counts the members that the pillar does not declare.
    """
    declared = sum(node.is_etcd for node in settings.nodes.values())
    total = existing_members + declared
    if not declared or total % 2:
        return None
    return (
        f"etcd will have {total} members, which tolerate no more failures than {total - 1}: declare"
        f" {declared + 1} or {declared - 1} etcd nodes in {PILLAR}:nodes instead of {declared}"
    )


def _terms(reader: Reader) -> Terms:
    directory = reader.take("key_directory", scalars.absolute_path, DEFAULT_KEY_DIRECTORY)
    profiles = read_profiles(reader.section("profiles"))
    return Terms(
        profiles, read_defaults(reader.section("defaults"), profiles, directory), directory
    )


def _networks(reader: Reader) -> dict[str, str | None]:
    networks = {key: reader.take(key, scalars.cidr, None) for key in ("pod_cidr", "service_cidr")}
    pod, service = networks["pod_cidr"], networks["service_cidr"]
    if pod and service and addresses.family(pod) != addresses.family(service):
        reader.note(
            reader.at("service_cidr"),
            service,
            f"is {addresses.family(service)}, but pod_cidr {pod} is {addresses.family(pod)}",
            "write networks of one family",
        )
    reader.finish()
    return networks


def _preflight(reader: Reader) -> tuple[tuple[str, ...], Thresholds]:
    skip, limits = read_skip(reader), thresholds.read(reader.section("thresholds"))
    reader.finish()
    return skip, limits


def _nodes(reader: Reader, terms: Terms) -> dict[str, Declared]:
    names = reader.items(scalars.node_name)
    return {name: read_node(reader.section(name), name, terms) for name in names}


def _undeclared(settings: Settings, name: str, reader: Reader) -> Declared:
    reader.attempt("add_node", name, scalars.node_name, "")
    if name in settings.nodes:
        reader.note(
            f"{PILLAR}:nodes",
            name,
            "is declared in the pillar",
            "change it there, or omit the arguments",
        )
    entry = read_node(reader, name, settings.terms)
    if not entry.node.version and "version" not in reader:
        remedy = f"set it here or in {PILLAR}:defaults:version: the cluster does not tell its own"
        reader.note(reader.at("version"), None, "is missing", remedy)
    return entry


def _check_places(settings: Settings, path: str, names: Iterable[str], problems: Problems) -> None:
    """Check that each node has its own addresses and that none is inside a cluster network."""
    chosen = set(names)
    for key, place in (("address", _address), ("ssh:host", _ssh_place)):
        first: dict[str, str] = {}
        for name, node in settings.nodes.items():
            owner = first.setdefault(place(node), name)
            if owner != name and name in chosen and place(node):
                remedy = f"{owner} already uses it: give each node its own"
                problems.append(
                    Problem(f"{path}:{name}:{key}", place(node), "is not unique", remedy)
                )
    for name in settings.nodes:
        if name in chosen:
            problems.extend(
                network_problems(settings, f"{path}:{name}:address", settings.nodes[name])
            )


def network_problems(settings: Settings, path: str, node: Node) -> Iterator[Problem]:
    """Yield a problem for each cluster network of another family, or around the address."""
    for title, network in (("Pod", settings.pod_cidr), ("Service", settings.service_cidr)):
        if not network or not node.address:
            continue
        if problem := addresses.family_problem(node.address, title, network):
            remedy = "use the host's address of that family, or correct metalk8s_expand:networks"
            yield Problem(path, node.address, problem, remedy)
        if ipaddress.ip_address(node.address) in ipaddress.ip_network(network):
            message = f"is inside the {title} network {network}"
            yield Problem(path, node.address, message, "use the host's control-plane address")


def _address(node: Node) -> str:
    return node.address


def _ssh_place(node: Node) -> str:
    """Return the SSH host and port; empty if the SSH host is the node's address."""
    return "" if node.ssh.host == node.address else f"{node.ssh.host} port {node.ssh.port}"


def refuse(message: str, problems: Problems, node: str | None = None) -> None:
    """Raise SettingsError with the problems, if there are any."""
    if problems:
        raise SettingsError(
            message,
            node=node,
            problems=problems,
            hint="fix these problems, then run the same command again",
        )
