"""Load the rosters with Salt's own loader, under their documented names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
from salt.exceptions import SaltClientError

from tests import extension


@pytest.fixture
def rosters(tmp_path: Path) -> Any:
    extension.lay_out(tmp_path / "ext", "roster", "utils")
    opts = salt.config.master_config(None)
    values = {
        "extension_modules": str(tmp_path / "ext"),
        "cachedir": str(tmp_path / "cache"),
        "metalk8s_expand": {"kubeconfig": str(tmp_path / "absent")},
        "pillar_roots": {"base": [str(tmp_path)]},
        "id": "lab_master",
    }
    # The options of Salt 3008 are no plain dict and lose the values of "|=", so call update.
    opts.update(values)
    return salt.loader.roster(opts, runner={}, utils=salt.loader.utils(opts))


@pytest.mark.parametrize("name", ["metalk8s_expand.targets", "kubernetes.targets"])
def test_roster_loads_under_documented_name(rosters: Any, name: str) -> None:
    assert name in rosters


@pytest.mark.parametrize("name", ["metalk8s_expand", "kubernetes"])
def test_unusable_kubeconfig_is_reported(rosters: Any, name: str) -> None:
    with pytest.raises(SaltClientError, match="kubeconfig"):
        rosters[f"{name}.targets"]("worker-1", "glob")
