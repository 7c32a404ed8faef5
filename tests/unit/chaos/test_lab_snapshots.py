"""Test which base snapshots are known before a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos import lab_hosts, lab_snapshots
from chaos.paths import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return the place of a stopped lab with two bases; ``attach`` makes its disk visible."""
    lab = lab_hosts.lab_settings.Settings(tmp_path / "state", tmp_path / "cache", "3008.3", None)

    def attach(settings: lab_hosts.lab_settings.Settings) -> None:
        for number in (1, 2):
            there = settings.disk / "snapshots" / lab_snapshots.snapshot(number)
            there.mkdir(parents=True)
            (there / "snapshot.json").write_text("{}")

    monkeypatch.setattr(lab_hosts, "SETTINGS", lab)
    monkeypatch.setattr(lab_hosts.disk, "attach", attach)
    found = Place(tmp_path)
    found.bases.write_text(json.dumps({"code": "c", "lab": lab_hosts.LAB, "bases": [1, 2]}))
    return found


def test_bases_of_stopped_lab_are_known(place: Place) -> None:
    assert lab_snapshots._known(place, "c") == {1, 2}


def test_bases_of_other_code_are_unknown(place: Place) -> None:
    assert lab_snapshots._known(place, "other") == set()


def test_base_without_snapshot_is_unknown(place: Place) -> None:
    place.bases.write_text(json.dumps({"code": "c", "lab": lab_hosts.LAB, "bases": [1, 2, 3]}))
    assert lab_snapshots._known(place, "c") == {1, 2}
