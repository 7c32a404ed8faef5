"""Tests of the declaration that the cluster's own values complete."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain import configuration
from metalk8s_expand.domain.configuration import ClusterConfiguration, Value
from metalk8s_expand.domain.declaration import cluster_defaults, settings
from metalk8s_expand.errors import SettingsError

FILE = "/etc/metalk8s/bootstrap.yaml"
KNOWN = ClusterConfiguration(
    {
        configuration.POD: Value(("10.233.0.0/16",), FILE),
        configuration.SERVICE: Value(("10.96.0.0/12",), FILE),
    }
)
ANNOTATION = Value(("134.0.1",), "annotation of kube-system")


def declared(**more: Any) -> settings.Settings:
    """Return a declaration that has names, profiles and addresses only, and these keys."""
    nodes = {
        "cp-1": {"profile": "control-plane", "address": "10.200.0.11"},
        "w-1": {"profile": "worker", "address": "10.200.0.14", "version": "133.0.0"},
    }
    return settings.parse({"nodes": nodes, **more})


def not_asked() -> Value | None:
    raise AssertionError("the cluster was asked for its version")


def test_names_profiles_and_addresses_suffice() -> None:
    found = cluster_defaults.complete(declared(), KNOWN, lambda: ANNOTATION)
    assert found.nodes["cp-1"].version == "134.0.1"
    assert (found.pod_cidr, found.service_cidr) == ("10.233.0.0/16", "10.96.0.0/12")


def test_version_of_operator_precedes_that_of_cluster() -> None:
    found = cluster_defaults.complete(declared(), KNOWN, lambda: ANNOTATION)
    assert found.nodes["w-1"].version == "133.0.0"
    found = cluster_defaults.complete(declared(defaults={"version": "2.0"}), KNOWN, not_asked)
    assert found.nodes["cp-1"].version == "2.0"


def test_node_of_arguments_has_version_of_cluster() -> None:
    found = cluster_defaults.complete(declared(), KNOWN, lambda: ANNOTATION)
    arguments = {"profile": "worker", "address": "10.200.0.19"}
    assert settings.node_from(found, "w-9", arguments).version == "134.0.1"


def test_node_of_arguments_in_network_of_cluster_is_refused() -> None:
    found = cluster_defaults.complete(declared(), KNOWN, lambda: ANNOTATION)
    with pytest.raises(SettingsError, match="is inside the Pod network"):
        settings.node_from(found, "w-9", {"profile": "worker", "address": "10.233.1.1"})


def test_version_that_api_does_not_tell_is_that_of_pillar() -> None:
    known = KNOWN.with_value(configuration.VERSION, Value(("133.0.0",), "the pillar"))
    assert (
        cluster_defaults.complete(declared(), known, lambda: None).nodes["cp-1"].version
        == "133.0.0"
    )
    found = cluster_defaults.complete(declared(), known, lambda: ANNOTATION)
    assert found.nodes["cp-1"].version == "134.0.1"


def test_missing_version_is_refused_for_each_node() -> None:
    with pytest.raises(SettingsError) as error:
        cluster_defaults.complete(declared(), KNOWN, lambda: None)
    assert [str(problem) for problem in error.value.problems] == [
        "metalk8s_expand:nodes:cp-1:version: is missing (found None); set it here or in"
        " metalk8s_expand:defaults:version: the cluster does not tell its own"
    ]


def test_node_of_arguments_without_any_version_is_refused() -> None:
    plain = settings.parse({"nodes": {}})
    with pytest.raises(SettingsError, match="add_node:w-9:version: is missing"):
        settings.node_from(plain, "w-9", {"profile": "worker", "address": "10.200.0.19"})


def test_contradiction_names_key_both_values_and_sources() -> None:
    networks = {"pod_cidr": "10.1.0.0/16", "service_cidr": "10.2.0.0/16"}
    with pytest.raises(SettingsError) as error:
        cluster_defaults.complete(declared(networks=networks), KNOWN, not_asked)
    remedy = "remove the key, or correct it; salt-run metalk8s_expand.status shows both"
    assert [str(problem) for problem in error.value.problems] == [
        "metalk8s_expand:networks:pod_cidr: is not the Pod network of the cluster, which is"
        f" 10.233.0.0/16, from {FILE} (found '10.1.0.0/16'); {remedy}",
        "metalk8s_expand:networks:service_cidr: is not the Service network of the cluster, which is"
        f" 10.96.0.0/12, from {FILE} (found '10.2.0.0/16'); {remedy}",
    ]
    assert error.value.retcode == 2


def test_declared_network_of_cluster_that_tells_none_stands() -> None:
    found = declared(networks={"pod_cidr": "10.1.0.0/16"})
    filled = cluster_defaults.complete(found, ClusterConfiguration(), lambda: ANNOTATION)
    assert (filled.pod_cidr, filled.service_cidr) == ("10.1.0.0/16", None)


def test_same_network_is_no_contradiction() -> None:
    found = declared(networks={"pod_cidr": "10.233.0.0/16"})
    assert list(cluster_defaults.contradictions(found, KNOWN)) == []


def test_address_inside_network_of_cluster_is_refused() -> None:
    nodes = {"w-1": {"profile": "worker", "address": "10.96.0.7"}}
    with pytest.raises(SettingsError, match="nodes:w-1:address: is inside the Service network"):
        cluster_defaults.complete(declared(nodes=nodes), KNOWN, lambda: ANNOTATION)


def test_values_of_operator_have_their_keys_as_source() -> None:
    found = declared(networks={"pod_cidr": "10.1.0.0/16"}, defaults={"version": "2.0"})
    assert [str(value) for value in cluster_defaults.stated(found).values.values()] == [
        "10.1.0.0/16, from metalk8s_expand:networks:pod_cidr",
        "2.0, from metalk8s_expand:defaults:version",
    ]
    assert cluster_defaults.stated(declared()).values == {}
