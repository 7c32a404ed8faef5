"""Jobs of the newest run pass, older ones do not, and those by hand always do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metalk8s_expand.errors import LockedError, SettingsError
from metalk8s_expand.minion import fence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metalk8s" / "expand-epoch"


def test_the_first_equal_and_newer_ones_pass(path: Path) -> None:
    assert fence.check_fencing_epoch(str(path), 5) == {"epoch": {"old": None, "new": 5}}
    assert fence.check_fencing_epoch(str(path), 5) == {}
    assert fence.check_fencing_epoch(str(path), "7") == {"epoch": {"old": 5, "new": 7}}
    assert path.read_text() == "7\n"


@pytest.mark.parametrize("test", [False, True])
def test_an_older_one_is_refused(path: Path, test: bool) -> None:
    fence.check_fencing_epoch(str(path), 7)
    with pytest.raises(
        LockedError, match=r"of the epoch 6, and one of the epoch 7 has been here"
    ) as error:
        fence.check_fencing_epoch(str(path), 6, test=test)
    assert (error.value.retcode, error.value.retry) == (9, False), "a wait ends with it"
    assert str(path) in str(error.value.hint)
    assert path.read_text() == "7\n"


def test_by_hand_it_passes_and_lowers_nothing(path: Path) -> None:
    assert fence.check_fencing_epoch(str(path), None) == {}
    assert not path.parent.exists()
    fence.check_fencing_epoch(str(path), 7)
    assert fence.check_fencing_epoch(str(path), None) == {}
    assert path.read_text() == "7\n"


def test_nothing_is_written_under_test(path: Path) -> None:
    assert fence.check_fencing_epoch(str(path), 5, test=True) == {"epoch": {"old": None, "new": 5}}
    assert not path.parent.exists()


@pytest.mark.parametrize("epoch", [0, -1, True, "", "x", 1.5, [1]])
def test_what_is_no_epoch_is_refused(path: Path, epoch: object) -> None:
    with pytest.raises(SettingsError, match="is no epoch"):
        fence.check_fencing_epoch(str(path), epoch)
    assert not path.exists()


def test_many_at_once_leave_the_highest(path: Path) -> None:
    refused: list[int] = []

    def job(epoch: int) -> None:
        try:
            fence.check_fencing_epoch(str(path), epoch)
        except LockedError:
            refused.append(epoch)

    threads = [threading.Thread(target=job, args=(epoch,)) for epoch in range(1, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "30\n"
    assert 30 not in refused
