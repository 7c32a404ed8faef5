"""A fake cluster in a file, for the real runner in a real ``salt-run``.

It replaces the API, etcd and the minions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.commands.context import CommandContext
from metalk8s_expand.minion import certificates
from tests.fakes.cluster import FakeCluster
from tests.fakes.kube import FakeKube
from tests.fakes.runner import minions

COREDNS = {
    "metadata": {"name": "coredns"},
    "spec": {"replicas": 2},
    "status": {"availableReplicas": 2},
}


class FileKube(FakeKube):
    """A fake API that reads its Nodes from a file and writes them to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(*json.loads(path.read_text()))
        self.path = path
        self.coredns = COREDNS

    def request(self, method: str, *arguments: Any, **options: Any) -> dict[str, Any] | None:
        found = super().request(method, *arguments, **options)
        if method != "GET":
            self.path.write_text(json.dumps(list(self.nodes_by_name.values())))
        return found


def install() -> None:
    """Replace the cluster context by the fake cluster; the kubeconfig path names its file."""

    def from_opts(opts: Mapping[str, Any]) -> ClusterContext:
        return FakeCluster(opts, FileKube(Path(opts["metalk8s_expand"]["kubeconfig"])))

    ClusterContext.from_opts = from_opts  # type: ignore[assignment,method-assign]
    context_on = CommandContext.from_opts

    def with_fake_minions(opts: Mapping[str, Any]) -> CommandContext:
        return replace(context_on(opts), minions=minions())  # type: ignore[arg-type]

    CommandContext.from_opts = with_fake_minions  # type: ignore[assignment,method-assign]
    certificates.of_master = lambda kubeconfig, context, clock: {}  # type: ignore[assignment]
