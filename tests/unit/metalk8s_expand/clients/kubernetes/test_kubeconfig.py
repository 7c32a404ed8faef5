"""Tests of the choice of the kubeconfig from the master's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.clients.kubernetes import kubeconfig
from metalk8s_expand.clients.kubernetes.kubeconfig import Kubeconfig, kubeconfig_of
from metalk8s_expand.errors import UnreachableError

OURS = {"metalk8s_expand": {"kubeconfig": "/etc/kubernetes/ours.conf"}}
METALK8S = {"kubernetes.kubeconfig": "/etc/salt/master-kubeconfig.conf"}


@pytest.mark.parametrize(
    ("opts", "chosen"),
    [
        ({}, Kubeconfig("/etc/kubernetes/admin.conf", None, "the default")),
        ({"metalk8s_expand": None}, Kubeconfig("/etc/kubernetes/admin.conf", None, "the default")),
        (OURS, Kubeconfig("/etc/kubernetes/ours.conf", None, kubeconfig.OURS)),
        (METALK8S, Kubeconfig("/etc/salt/master-kubeconfig.conf", None, kubeconfig.SALTS)),
        ({**METALK8S, **OURS}, Kubeconfig("/etc/kubernetes/ours.conf", None, kubeconfig.OURS)),
    ],
)
def test_kubeconfig_of_operator_precedes_that_of_metalk8s(
    opts: dict[str, Any], chosen: Kubeconfig
) -> None:
    assert kubeconfig_of(opts) == chosen


def test_context_belongs_to_kubeconfig_of_same_option() -> None:
    opts = {**METALK8S, "kubernetes.context": "theirs"}
    assert kubeconfig_of(opts).context == "theirs"
    assert kubeconfig_of({**opts, **OURS}).context is None
    ours = {"metalk8s_expand": {"kubeconfig": "/etc/kubernetes/ours.conf", "context": "ours"}}
    assert kubeconfig_of({**opts, **ours}).context == "ours"


def test_missing_kubeconfig_is_reported_with_both_options() -> None:
    with pytest.raises(UnreachableError, match="/nowhere") as error:
        kubeconfig_of({"kubernetes.kubeconfig": "/nowhere"}).connect()
    assert "kubernetes.kubeconfig" in str(error.value.hint)
    assert "metalk8s_expand:kubeconfig" in str(error.value.hint)
