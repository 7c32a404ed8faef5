"""Make plans in a separate warm process: ``python -m bench.planning KUBECONFIG PILLAR``.

The peak memory of the process is that of its plans. For every line on its standard input it makes a
plan and prints a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.expansion import planner
from tests.fakes.minions import FakeMinions, live_minions


class MeasuredCluster(ClusterContext):
    """A cluster whose minions answer at once: the measurement is that of the API."""

    def minions(self) -> FakeMinions:  # type: ignore[override]
        """Return minions that need no master."""
        return live_minions()


def main(kubeconfig: str, pillar: str) -> None:
    """Make plans until standard input ends."""
    world = MeasuredCluster({}, Kube.from_kubeconfig(kubeconfig))
    # The first request imports the API client, which must not count.
    world.kube.text("/readyz")
    text = Path(pillar).read_bytes()
    for _ in sys.stdin:
        declared = json.loads(text)
        started = time.perf_counter()
        found = planner.current_plan(world, settings.parse(declared), None, Clock())
        shown = found.as_dict()
        taken = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {
            "seconds": taken,
            "peak": peak,
            "due": len(found.nodes),
            "unchanged": len(shown["unchanged"]),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
