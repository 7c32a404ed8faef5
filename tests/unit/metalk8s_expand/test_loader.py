"""The entry point finds installed plugins; plugins of a second installation are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import metalk8s_expand
from metalk8s_expand import loader

LIBRARY = Path(metalk8s_expand.__file__).resolve().parent


def test_directories_are_those_of_subpackages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "__init__.py").touch()
    monkeypatch.setattr(metalk8s_expand, "__path__", [str(tmp_path)])
    assert loader.plugin_directories() == {"runners": [str(tmp_path / "runners")]}


@pytest.mark.parametrize(
    "plugin", [LIBRARY / "runners" / "x.py", LIBRARY.parent.parent / "_runners" / "x.py"]
)
def test_single_installation_is_accepted(plugin: Path) -> None:
    assert loader.mixed_installation(str(plugin)) is None


def test_two_installations_are_refused() -> None:
    reason = loader.mixed_installation("/var/cache/salt/master/extmods/runners/x.py")
    assert reason is not None
    assert str(LIBRARY) in reason


def test_installed_plugin_next_to_synced_plugins_is_refused(tmp_path: Path) -> None:
    installed = str(LIBRARY / "runners" / "x.py")
    assert loader.mixed_installation(installed, str(tmp_path)) is None
    (tmp_path / "utils" / "metalk8s_expand").mkdir(parents=True)
    reason = loader.mixed_installation(installed, str(tmp_path))
    assert reason is not None
    assert str(tmp_path / "utils" / "metalk8s_expand") in reason
    # A synced plugin belongs to the synced library, so it is accepted.
    assert (
        loader.mixed_installation(str(LIBRARY.parent.parent / "_runners" / "x.py"), str(tmp_path))
        is None
    )
