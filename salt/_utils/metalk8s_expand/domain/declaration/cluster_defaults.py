"""Complete the declaration with what the cluster says, and find contradictions between the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from metalk8s_expand.domain import configuration
from metalk8s_expand.domain.configuration import ClusterConfiguration, Value
from metalk8s_expand.domain.declaration.settings import PILLAR, Settings, network_problems, refuse
from metalk8s_expand.errors import Problem

# The key of the declaration, its title, and the key of the cluster's configuration.
NETWORKS = (
    ("pod_cidr", "Pod", configuration.POD),
    ("service_cidr", "Service", configuration.SERVICE),
)


def complete(
    declared: Settings, known: ClusterConfiguration, version: Callable[[], Value | None]
) -> Settings:
    """Return the declaration with the cluster's values where the operator states none.

    ``version`` returns the version that the API tells; it is not called if the declaration has a
    default.
    Raises SettingsError with every contradiction and every node without a version.
    """
    refuse("the declaration contradicts the cluster", list(contradictions(declared, known)))
    told = None if declared.terms.defaults.version else version()
    filled = fill(declared, known.with_value(configuration.VERSION, told) if told else known)
    refuse("the declaration is not complete", list(_problems(filled)))
    return filled


def fill(declared: Settings, known: ClusterConfiguration) -> Settings:
    """Return the declaration with the cluster's values where the operator states none."""
    terms, version = declared.terms, known.single(configuration.VERSION)
    if not terms.defaults.version and version:
        defaults = dataclasses.replace(terms.defaults, version=version)
        terms = dataclasses.replace(terms, defaults=defaults)
    default = terms.defaults.version or ""
    nodes = {}
    for name, node in declared.nodes.items():
        nodes[name] = node if node.version else dataclasses.replace(node, version=default)
    return dataclasses.replace(
        declared,
        nodes=nodes,
        terms=terms,
        pod_cidr=declared.pod_cidr or known.single(configuration.POD) or None,
        service_cidr=declared.service_cidr or known.single(configuration.SERVICE) or None,
        ca_minion=known.single(configuration.CA_MINION),
    )


def stated(declared: Settings) -> ClusterConfiguration:
    """Return the values of the cluster's configuration that the operator states."""
    values = {}
    for name, _, key in NETWORKS:
        cidr = getattr(declared, name)
        if cidr:
            values[key] = Value((cidr,), f"{PILLAR}:networks:{name}")
    if declared.terms.defaults.version:
        source = f"{PILLAR}:defaults:version"
        values[configuration.VERSION] = Value((declared.terms.defaults.version,), source)
    return ClusterConfiguration(values)


def contradictions(declared: Settings, known: ClusterConfiguration) -> Iterator[Problem]:
    """Yield each declared network that is not the cluster's, with both values and sources."""
    for name, title, key in NETWORKS:
        stated, found = getattr(declared, name), known.values.get(key)
        if stated and found and stated not in found.items:
            message = f"is not the {title} network of the cluster, which is {found}"
            remedy = "remove the key, or correct it; salt-run metalk8s_expand.status shows both"
            yield Problem(f"{PILLAR}:networks:{name}", stated, message, remedy)


def _problems(filled: Settings) -> Iterator[Problem]:
    """Yield what the declaration lacks, and addresses inside of the cluster's own networks."""
    for name, node in filled.nodes.items():
        path = f"{PILLAR}:nodes:{name}"
        if not node.version:
            remedy = (
                f"set it here or in {PILLAR}:defaults:version: the cluster does not tell its own"
            )
            yield Problem(f"{path}:version", None, "is missing", remedy)
        yield from network_problems(filled, f"{path}:address", node)
