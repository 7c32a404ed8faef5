"""Describe existing Nodes as a declaration: the inverse of parsing it and registering its nodes.

A Node is described only if the plan of its description finds no difference. Labels and taints that
the kubelet, the controllers of Kubernetes or this project set are not part of the description.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.declaration.fields import RESERVED_LABELS, RESERVED_TAINTS
from metalk8s_expand.domain.declaration.node_entry import Terms
from metalk8s_expand.domain.declaration.selection import Selection, is_glob
from metalk8s_expand.domain.declaration.settings import PILLAR, WRONG_ARGUMENTS
from metalk8s_expand.domain.node import health, manifest, roles, ssh_annotations
from metalk8s_expand.domain.node.manifest import NOTHING, Object, Owned
from metalk8s_expand.domain.node.objects import labels_of
from metalk8s_expand.domain.node.roles import PROFILES, Profile, Taint
from metalk8s_expand.domain.node.spec import (
    DEFAULT_KEY_DIRECTORY,
    DEFAULT_PORT,
    DEFAULT_USER,
    KEY_NAME,
    Ssh,
)
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import suggestion
from metalk8s_expand.errors import Problem, SettingsError, visible

Entry = dict[str, Any]

# Kubelets and cloud controllers set these labels.
KUBELET_LABELS = ("beta.kubernetes.io/", "kubelet.kubernetes.io/", "node.kubernetes.io/")
# Controllers set and remove these taints.
CONTROLLER_TAINTS = (RESERVED_TAINTS, "node.cloudprovider.kubernetes.io/")


@dataclass(frozen=True)
class Description:
    """The declaration of existing Nodes.

    ``pillar`` is the value of the pillar key ``metalk8s_expand``. ``undescribed`` has the reason of
    each Node that no declaration can describe. ``left_out`` lists the labels and taints of a
    described Node that stay as they are and that no declaration can name.
    """

    pillar: Mapping[str, Any] = field(default_factory=dict)
    undescribed: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class _Unfit(Exception):
    """No declaration can describe this Node; the text is the reason."""


def describe(
    nodes: Mapping[str, Object], owned: Mapping[str, Owned], terms: Terms, version: str = ""
) -> Description:
    """Return the declaration that describes these Nodes.

    ``owned`` is what registrations set on each Node. ``terms`` are the profiles and the key
    directory that the declaration may use. ``version`` is the cluster's own version, which a node
    has without stating it.
    """
    entries: dict[str, Entry] = {}
    undescribed: dict[str, str] = {}
    left_out: dict[str, tuple[str, ...]] = {}
    for name, node_obj in nodes.items():
        known = owned.get(name, NOTHING)
        try:
            entry, left = _entry(name, node_obj, known.of(node_obj), terms)
            _ensure_no_difference(entry, node_obj, known, terms)
        except _Unfit as error:
            undescribed[name] = visible(error)
            continue
        entries[name] = entry
        if left:
            left_out[name] = left
    _drop_conflicts(entries, undescribed, terms)
    pillar = _pillar(entries, terms, version)
    described = {name: left for name, left in left_out.items() if name in entries}
    return Description(pillar, undescribed, described)


def chosen(selection: Selection, names: Iterable[str]) -> list[str]:
    """Return the names of existing Nodes that the selection matches; all if it names none.

    Raises SettingsError with each name and glob that matches no Node.
    """
    known = list(names)
    patterns = selection.nodes
    if patterns is None:
        return known
    exact, globs = frozenset(patterns), [pattern for pattern in patterns if is_glob(pattern)]
    problems = []
    for pattern in exact.difference(known, globs):
        remedy = suggestion(pattern, known)
        problems.append(Problem("nodes", pattern, "is not a Node of the cluster", remedy))
    for pattern in globs:
        if not fnmatch.filter(known, pattern):
            remedy = f"the Nodes are: {', '.join(known) or 'none'}"
            problems.append(Problem("nodes", pattern, "matches no Node", remedy))
    if problems:
        raise SettingsError(WRONG_ARGUMENTS, problems=problems)
    return [
        name
        for name in known
        if name in exact or any(fnmatch.fnmatchcase(name, glob) for glob in globs)
    ]


def _entry(
    name: str, node_obj: Object, owned: Owned, terms: Terms
) -> tuple[Entry, tuple[str, ...]]:
    """Return the complete entry of one node, and the labels and taints that it leaves out."""
    labels = labels_of(node_obj)
    node_roles = _roles(labels)
    version = str(labels.get(manifest.VERSION_LABEL) or "")
    if not version:
        raise _Unfit(
            f"it has no label {manifest.VERSION_LABEL}: kubectl label node {name}"
            f" {manifest.VERSION_LABEL}=VERSION"
        )
    ssh = _ssh(name, node_obj, terms.key_directory)
    free, odd_labels = _labels(labels, owned)
    taints, odd_taints = _taints(node_obj, owned)
    place = {
        "address": _address(node_obj, ssh),
        "version": version,
        "ssh": _ssh_entry(ssh),
    }
    profile = _profile(node_roles, taints, free, terms.profiles)
    if profile is None:
        stated: Entry = {"roles": list(node_roles)}
        if taints:
            stated["taints"] = [_taint_entry(taint) for taint in taints]
        return {**stated, **place, "labels": free}, odd_labels + odd_taints
    more = {key: value for key, value in free.items() if key not in profile.labels}
    return {"profile": profile.name, **place, "labels": more}, odd_labels + odd_taints


def _roles(labels: Mapping[str, Any]) -> tuple[str, ...]:
    node_roles = roles.observed_roles(labels)
    if roles.BOOTSTRAP in node_roles:
        raise _Unfit("it is the bootstrap node, which exists already and is not declared")
    if not node_roles:
        known = ", ".join(roles.label_keys(roles.DECLARABLE))
        raise _Unfit(f"it has no role: it has none of the labels {known}")
    if roles.MASTER in node_roles and roles.ETCD not in node_roles:
        raise _Unfit("it has the role master without etcd, and an API server uses its own member")
    return node_roles


def _ssh(name: str, node_obj: Object, key_directory: str) -> Ssh:
    annotations = (node_obj.get("metadata") or {}).get("annotations")
    try:
        return ssh_annotations.from_annotations(name, annotations, key_directory)
    except SettingsError as error:
        raise _Unfit(error.summary) from error


def _address(node_obj: Object, ssh: Ssh) -> str:
    """Return the address that the kubelet reports; without a kubelet, the address of SSH."""
    reported = health.internal_ip(node_obj)
    try:
        return scalars.address(reported or ssh.host)
    except scalars.Invalid as error:
        if reported:
            raise _Unfit(f"its InternalIP {reported} {error.message}") from error
        raise _Unfit(
            f"its address is unknown: no kubelet has reported one, and its SSH host {ssh.host}"
            f" {error.message}"
        ) from error


def _labels(labels: Mapping[str, Any], owned: Owned) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the labels of the operator, and those that no declaration can state."""
    free, odd = {}, []
    for key, value in labels.items():
        if roles.is_role_key(key) or key in RESERVED_LABELS:
            continue
        if key.startswith(roles.LABEL_PREFIX):
            odd.append(f"label {key}")
        elif key in owned.labels or not key.startswith(KUBELET_LABELS):
            free[key] = str(value)
    return free, tuple(odd)


def _taints(node_obj: Object, owned: Owned) -> tuple[list[Taint], tuple[str, ...]]:
    """Return the taints of roles and of the operator, and those that no declaration can state."""
    kept, odd = [], []
    for item in (node_obj.get("spec") or {}).get("taints") or ():
        taint = Taint(str(item.get("key")), str(item.get("effect")), item.get("value") or "")
        if taint.key == roles.label_key(roles.BOOTSTRAP):
            odd.append(f"taint {taint.key}:{taint.effect}")
        elif (taint.key, taint.effect) in owned.taints or not taint.key.startswith(
            CONTROLLER_TAINTS
        ):
            kept.append(taint)
    return kept, tuple(odd)


def _profile(
    node_roles: tuple[str, ...],
    taints: Iterable[Taint],
    labels: Mapping[str, str],
    profiles: Mapping[str, Profile],
) -> Profile | None:
    """Return the profile of these roles and taints that has the most of the labels, or None."""
    fitting = []
    for profile in profiles.values():
        same = set(profile.roles) == set(node_roles) and set(profile.taints) == set(taints)
        if same and profile.labels.items() <= labels.items():
            fitting.append(profile)
    return max(fitting, key=lambda profile: len(profile.labels), default=None)


def _taint_entry(taint: Taint) -> str | dict[str, str]:
    for role in roles.DECLARABLE:
        if taint == Taint(roles.label_key(role)):
            return role
    return taint.as_dict()


def _ssh_entry(ssh: Ssh) -> Entry:
    entry: Entry = {
        "host": ssh.host,
        "port": ssh.port,
        "user": ssh.user,
        "key_path": ssh.key_path,
        "sudo": ssh.sudo,
    }
    return {**entry, "host_key": ssh.host_key} if ssh.host_key else entry


def _ensure_no_difference(entry: Entry, node_obj: Object, owned: Owned, terms: Terms) -> None:
    """Raise _Unfit if the parser refuses the entry, or if its plan would change the Node."""
    name = str((node_obj.get("metadata") or {}).get("name", ""))
    try:
        node = settings.parse(_pillar({name: entry}, terms)).nodes[name]
    except SettingsError as error:
        raise _Unfit(_reason(error)) from error
    changes = manifest.drift(node, node_obj, owned)
    if changes:
        shown = []
        for change in changes:
            shown.append(f"{change.path} is {change.found!r} and would be {change.wanted!r}")
        raise _Unfit(f"a registration would change it: {'; '.join(shown)}")


def _drop_conflicts(entries: dict[str, Entry], undescribed: dict[str, str], terms: Terms) -> None:
    """Move the nodes whose entries contradict those of earlier nodes to the undescribed ones."""
    try:
        settings.parse(_pillar(entries, terms))
    except SettingsError as error:
        for problem in error.problems:
            name = str(getattr(problem, "path", "")).removeprefix(f"{PILLAR}:nodes:")
            name = name.partition(":")[0]
            if entries.pop(name, None) is not None:
                undescribed[name] = visible(problem)


def _pillar(entries: Mapping[str, Entry], terms: Terms, version: str = "") -> dict[str, Any]:
    """Return the declaration with the values that most nodes have as defaults."""
    base = {
        "port": DEFAULT_PORT,
        "user": DEFAULT_USER,
        "key_path": f"{terms.key_directory}/{KEY_NAME}",
        "sudo": False,
    }
    usual = {key: _most(entry["ssh"][key] for entry in entries.values()) for key in base}
    usual_version = version or _most(entry["version"] for entry in entries.values())
    defaults: dict[str, Any] = {}
    if usual_version and not version:
        defaults["version"] = usual_version
    ssh = {key: value for key, value in usual.items() if value not in (None, base[key])}
    if ssh:
        defaults["ssh"] = ssh
    nodes = {}
    for name, entry in entries.items():
        nodes[name] = _shortened(entry, usual, usual_version)
    own = {}
    for name, profile in terms.profiles.items():
        if name not in PROFILES and any(item.get("profile") == name for item in entries.values()):
            own[name] = _profile_entry(profile)
    directory = terms.key_directory
    sections: dict[str, Any] = {
        "key_directory": directory if directory != DEFAULT_KEY_DIRECTORY else None,
        "profiles": own,
        "defaults": defaults,
    }
    return {**{key: value for key, value in sections.items() if value}, "nodes": nodes}


def _shortened(entry: Entry, usual: Mapping[str, Any], version: str | None) -> Entry:
    """Return the entry without the values that the defaults state."""
    short = {key: value for key, value in entry.items() if key not in ("version", "ssh", "labels")}
    if entry["version"] != version:
        short["version"] = entry["version"]
    if entry["labels"]:
        short["labels"] = entry["labels"]
    ssh = {}
    for key, value in entry["ssh"].items():
        default = entry["address"] if key == "host" else usual.get(key)
        if value != default:
            ssh[key] = value
    return {**short, "ssh": ssh} if ssh else short


def _profile_entry(profile: Profile) -> Entry:
    entry: Entry = {"roles": list(profile.roles)}
    if profile.taints:
        entry["taints"] = [_taint_entry(taint) for taint in profile.taints]
    return {**entry, "labels": dict(profile.labels)} if profile.labels else entry


def _most(values: Iterable[Any]) -> Any:
    """Return the most frequent value, of several the first; None without values."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else None


def _reason(error: SettingsError) -> str:
    return "; ".join(str(problem) for problem in error.problems) or error.message
