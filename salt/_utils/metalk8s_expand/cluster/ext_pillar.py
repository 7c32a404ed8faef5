"""Compile the external pillar of one minion from the declaration, the API and the CA's files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host import secret_files
from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.clients.salt import pillar as salt_pillar
from metalk8s_expand.cluster import node_pillar
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.domain.node.objects import name_of
from metalk8s_expand.errors import UnreachableError

log = logging.getLogger(__name__)

# Salt sets this key while it works for salt-ssh.
OVER_SSH = "_ssh_version"
MASTER_KEYS = "/etc/salt/pki/master"


def compile_pillar(
    opts: Mapping[str, Any],
    minion: str,
    pillar: Mapping[str, Any],
    master_id: str | None,
    kubeconfig: str,
) -> dict[str, Any]:
    """Return the pillar data of the minion; see the plugin for the arguments."""
    cluster = (pillar.get("metalk8s") or {}).get("cluster")
    if not cluster or minion == master_id:
        return {}
    declared = salt_pillar.declared_pillar(opts, master_id) if master_id else None
    nodes = settings.parse(declared).nodes.values() if declared else ()
    observed, problem = _observed(minion, kubeconfig)
    hosts = node_pillar.known_hosts(cluster, nodes, observed)
    registered = [name_of(node_obj) for node_obj in observed]
    data = node_pillar.node_pillar(minion, cluster, hosts, registered)
    if data and problem:
        data = node_pillar.without_api(data, problem)
    if OVER_SSH in opts:
        # salt-ssh packs the whole pillar into a file that stays on the host, and the states that it
        # applies need no secret.
        data.get("metalk8s", {}).pop("secrets", None)
    if data:
        keys = secret_files.read_existing(MASTER_KEYS, {"master_public_key": "master.pub"})
        data["metalk8s"].update(keys)
    return data


def _observed(minion: str, kubeconfig: str) -> tuple[list[JsonObject], str]:
    """Return the registered Nodes, and why they are unknown if the API does not answer."""
    if not Path(kubeconfig).exists():
        return [], ""
    try:
        return Kube.from_kubeconfig(kubeconfig).nodes(), ""
    except UnreachableError as error:
        log.error("the pillar of %s is made without the API: %s", minion, error)
        return [], error.message
