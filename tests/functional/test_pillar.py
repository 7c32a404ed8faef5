"""Compile the documented pillar with Salt.

The declaration reaches the runner of the master and no minion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.pillar

from metalk8s_expand.clients.salt.pillar import declared_pillar
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def opts(tmp_path: Path) -> Any:
    """Return the options of a master with the documented example and top file as its pillar."""
    (tmp_path / "top.sls").write_text("base:\n  'bootstrap_master':\n    - metalk8s_expand\n")
    (tmp_path / "metalk8s_expand.sls").symlink_to(ROOT / "pillar" / "metalk8s_expand.sls")
    found = salt.config.master_config(None)
    found.update(
        {
            "id": "bootstrap",
            "cachedir": str(tmp_path / "cache"),
            "extension_modules": str(tmp_path / "ext"),
            "pillar_roots": {"base": [str(tmp_path)]},
        }
    )
    return found


def test_declaration_is_read_by_runner(opts: Any) -> None:
    assert list(settings.parse(declared_pillar(opts)).nodes) == [
        "cp-1",
        "cp-2",
        "infra-1",
        "worker-1",
    ]


# Declared nodes, the bootstrap node's own minion, minions with names like the master's, and an
# unknown minion.
@pytest.mark.parametrize(
    "minion", ["cp-1", "worker-1", "bootstrap", "bootstrap_master2", "master", "x"]
)
def test_declaration_is_hidden_from_minions(opts: Any, minion: str) -> None:
    found = salt.pillar.Pillar(
        {**opts, "pillar": {}}, {"id": minion}, minion, "base"
    ).compile_pillar()
    assert found == {}


def test_duplicate_node_name_is_refused(opts: Any, tmp_path: Path) -> None:
    node = "    w-1: {profile: worker, address: 10.0.0.%d, version: '1'}\n"
    (tmp_path / "metalk8s_expand.sls").unlink()
    (tmp_path / "metalk8s_expand.sls").write_text(
        "metalk8s_expand:\n  nodes:\n" + node % 1 + node % 2
    )
    with pytest.raises(SettingsError, match=r"conflicting ID 'w-1'.*line 4") as error:
        declared_pillar(opts)
    assert error.value.retcode == 2


def test_unrendered_file_is_reported_without_its_text(opts: Any, tmp_path: Path) -> None:
    (tmp_path / "metalk8s_expand.sls").unlink()
    (tmp_path / "metalk8s_expand.sls").write_text("password: hunter2\nother: {{ nope.nope }}\n")
    with pytest.raises(SettingsError, match="'nope' is undefined") as error:
        declared_pillar(opts)
    assert "hunter2" not in str(error.value)
