"""Do the page's expansion by a shell script over parallel ssh, without Salt."""

from __future__ import annotations

from bench.expansion.cluster import DIRECTORY, verify
from bench.expansion.lab import BOOTSTRAP, NODES, Run, measured, on
from bench.expansion.salt import HOSTS

LIMIT_S = 900


def expand() -> Run:
    """Run the script on the bootstrap node for all four nodes."""
    arguments = [node.argument for node in NODES]
    with measured(*HOSTS) as run:
        on(BOOTSTRAP, "bash", f"{DIRECTORY}/floor.sh", *arguments, timeout=LIMIT_S)
    verify([node.name for node in NODES])
    return run
