"""The rosters load in Salt's own loader, under the names that the documentation uses."""

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
    # An update: the options of Salt 3008 are no plain dict, and "|=" gets lost in them.
    opts.update(values)
    return salt.loader.roster(opts, runner={}, utils=salt.loader.utils(opts))


@pytest.mark.parametrize("name", ["metalk8s_expand.targets", "kubernetes.targets"])
def test_virtual_names(rosters: Any, name: str) -> None:
    assert name in rosters


@pytest.mark.parametrize("name", ["metalk8s_expand", "kubernetes"])
def test_an_api_that_cannot_be_asked_is_a_clear_error(rosters: Any, name: str) -> None:
    with pytest.raises(SaltClientError, match="kubeconfig"):
        rosters[f"{name}.targets"]("worker-1", "glob")
