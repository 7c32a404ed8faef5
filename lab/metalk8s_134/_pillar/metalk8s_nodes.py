"""The registered Nodes with their roles and versions, and the version of the cluster."""

import logging
import os

log = logging.getLogger(__name__)
ROLE = "node-role.kubernetes.io/"
OURS = "metalk8s.scality.com/"


def ext_pillar(minion_id, pillar, kubeconfig):
    """Return ``metalk8s:nodes`` and ``metalk8s:cluster_version``."""
    if not os.path.exists(kubeconfig):
        return {}
    from kubernetes import client, config

    config.load_kube_config(kubeconfig)
    api = client.CoreV1Api()
    try:
        nodes = api.list_node(_request_timeout=10).items
        space = api.read_namespace("kube-system", _request_timeout=10)
    except Exception as error:
        log.error("the API does not answer: %s", error)
        return {"metalk8s": {"nodes": {"_errors": [str(error)]}}}
    found = {
        node.metadata.name: {
            "version": node.metadata.labels.get(f"{OURS}version"),
            "roles": [key[len(ROLE) :] for key in node.metadata.labels if key.startswith(ROLE)],
        }
        for node in nodes
    }
    version = (space.metadata.annotations or {}).get(f"{OURS}cluster-version")
    return {"metalk8s": {"nodes": found, "cluster_version": version}}
