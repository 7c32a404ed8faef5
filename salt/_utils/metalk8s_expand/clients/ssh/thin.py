"""Which Pythons can run what salt-ssh sends to a host: asked of the installed Salt, as every
version sends something else.

Salt's own check is for Python 3 of any age (``py3:3:0`` in its thin), but the thin carries Salt and
the libraries of the master, and each of these says in its metadata which Python it needs. An older
one fails there with a SyntaxError.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Version = tuple[int, ...]


@dataclass(frozen=True)
class Demand:
    """One library of the thin, its version, and its ``Requires-Python``."""

    name: str
    version: str
    requires: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.requires})"


def unmet(python: Version) -> list[Demand]:
    """The libraries of the thin that cannot run on a host's Python; empty for one as new as the
    master's.
    """
    if python[:2] >= sys.version_info[:2]:
        return []
    return [demand for demand in demands() if not _suits(demand, python)]


def minimum() -> Version:
    """The oldest Python 3 that runs everything."""
    minors = range(sys.version_info[1] + 1)
    return next((3, minor) for minor in minors if not unmet((3, minor, 99)))


@cache
def demands() -> tuple[Demand, ...]:
    """What the thin of this master carries, as far as its metadata is there."""
    return tuple(_demands())


def _demands() -> Iterator[Demand]:
    from importlib import metadata

    import salt.utils.thin

    distributions = metadata.packages_distributions()
    carried: set[str] = set()
    for top in salt.utils.thin.get_tops():
        package = Path(top[0] if isinstance(top, tuple) else top).stem
        carried.update(distributions.get(package, ()))
    for name in sorted(carried):
        library = metadata.metadata(name)
        if "Requires-Python" in library:
            yield Demand(library["Name"], library["Version"], library["Requires-Python"])


def _suits(demand: Demand, python: Version) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(demand.requires).contains(".".join(map(str, python)), prereleases=True)
