"""Read the state of the cluster for the report of a run, before and after its changes."""

from __future__ import annotations

import logging
from typing import Any

from metalk8s_expand.cluster import health
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.reports.cluster_state import cluster_state
from metalk8s_expand.errors import ExpandError

log = logging.getLogger(__name__)


def read_state(cluster: ClusterContext) -> dict[str, Any] | None:
    """Return the state as ``cluster_state`` does, or None if the API does not answer.

    The state is for people who read the report, so a failure never ends the run.
    """
    try:
        members = health.members_of(cluster.access())
        return cluster_state(cluster.kube.nodes(), members)
    except ExpandError as error:
        log.warning("the report does not have the state of the cluster: %s", error)
        return None
