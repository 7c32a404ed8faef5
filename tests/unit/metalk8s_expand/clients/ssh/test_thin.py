"""Which Pythons the thin of the installed Salt can run on, by the metadata of what it carries."""

from __future__ import annotations

import sys

import pytest

from metalk8s_expand.clients.ssh import thin
from metalk8s_expand.clients.ssh.thin import Demand


def test_the_demands_are_those_of_the_installed_salt() -> None:
    from importlib import metadata

    import salt.version

    demands = {demand.name.lower(): demand for demand in thin.demands()}
    assert demands["salt"].version == salt.version.__version__
    assert demands["salt"].requires == metadata.metadata("salt")["Requires-Python"]
    assert {"jinja2", "pyyaml", "msgpack"} <= set(demands)


def test_a_python_as_new_as_the_masters_is_fine() -> None:
    assert thin.unmet(sys.version_info[:3]) == []
    assert thin.unmet((4, 0, 0)) == []


@pytest.mark.parametrize("python", [(2, 7, 18), (3, 6, 8), (3, 7, 17)])
def test_a_python_that_salt_does_not_support(python: tuple[int, ...]) -> None:
    assert "salt" in {demand.name for demand in thin.unmet(python)}


def test_the_strictest_demand_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    demands = (
        Demand("salt", "3007.8", ">=3.8"),
        Demand("tornado", "6", ">= 3.9"),
        Demand("odd", "1", ">=3.6,!=3.8.1"),
    )
    monkeypatch.setattr(thin, "demands", lambda: demands)
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    assert [demand.name for demand in thin.unmet((3, 8, 1))] == ["tornado", "odd"]
    assert [str(demand) for demand in thin.unmet((3, 7, 0))] == [
        "salt 3007.8 (>=3.8)",
        "tornado 6 (>= 3.9)",
    ]
    assert thin.unmet((3, 9, 0)) == []
    assert thin.minimum() == (3, 9)


def test_without_metadata_any_python_3_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thin, "demands", lambda: ())
    assert thin.unmet((3, 4, 0)) == []
    assert thin.minimum() == (3, 0)
