"""Names that MetalK8s and this project agree on: the saltenv of a version, and SLS in it."""

from __future__ import annotations

from collections.abc import Callable

# Whether the file server has an SLS in a saltenv.
Has = Callable[[str, str], bool]

# The SLS that makes a node's API proxy list all API servers.
APISERVER_PROXY = "metalk8s.roles.node.apiserver_proxy"
PROXY_OF_METALK8S = "metalk8s.kubernetes.apiserver-proxy"
ORCHESTRATION = "metalk8s.orchestrate.deploy_node"
# This project has it beside its own deployment. MetalK8s renews certificates by other means.
RENEWAL = "metalk8s.orchestrate.renew_certificates"
# It prepares hosts before they join the cluster. MetalK8s's own deployment has no such part.
PREPARATION = "metalk8s.orchestrate.prepare_node"
PREFIX = "metalk8s-"


def of_version(version: str) -> str:
    """Return the saltenv that deploys nodes of this version."""
    return f"{PREFIX}{version}"


def is_of_metalk8s(has: Has, name: str) -> bool:
    """Return whether MetalK8s's own states, not this project's, deploy from a saltenv."""
    return has(ORCHESTRATION, name) and not has(RENEWAL, name)


def apiserver_proxy(has: Has, name: str) -> str:
    """Return the SLS of a saltenv that makes a node's API proxy list all API servers."""
    return APISERVER_PROXY if has(APISERVER_PROXY, name) else PROXY_OF_METALK8S
