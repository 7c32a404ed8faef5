"""Test that jobs of the newest run pass, jobs of older runs do not, and manual jobs always do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metalk8s_expand.errors import LockedError, SettingsError
from metalk8s_expand.minion import fence


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metalk8s" / "expand-epoch"


def test_first_equal_and_newer_epochs_pass(path: Path) -> None:
    assert fence.check_fencing_epoch(str(path), 5) == {"epoch": {"old": None, "new": 5}}
    assert fence.check_fencing_epoch(str(path), 5) == {}
    assert fence.check_fencing_epoch(str(path), "7") == {"epoch": {"old": 5, "new": 7}}
    assert path.read_text() == "7\n"


@pytest.mark.parametrize("test", [False, True])
def test_older_epoch_is_refused(path: Path, test: bool) -> None:
    fence.check_fencing_epoch(str(path), 7)
    with pytest.raises(
        LockedError, match=r"the epoch 6, but a job with the epoch 7 has already run"
    ) as error:
        fence.check_fencing_epoch(str(path), 6, test=test)
    assert (error.value.retcode, error.value.retry) == (9, False), "a wait ends with it"
    assert str(path) in str(error.value.hint)
    assert path.read_text() == "7\n"


def test_job_without_epoch_passes_and_keeps_stored_epoch(path: Path) -> None:
    assert fence.check_fencing_epoch(str(path), None) == {}
    assert not path.parent.exists()
    fence.check_fencing_epoch(str(path), 7)
    assert fence.check_fencing_epoch(str(path), None) == {}
    assert path.read_text() == "7\n"


def test_epoch_is_not_written_with_test(path: Path) -> None:
    assert fence.check_fencing_epoch(str(path), 5, test=True) == {"epoch": {"old": None, "new": 5}}
    assert not path.parent.exists()


@pytest.mark.parametrize("epoch", [0, -1, True, "", "x", 1.5, [1]])
def test_invalid_epoch_is_refused(path: Path, epoch: object) -> None:
    with pytest.raises(SettingsError, match="is not an epoch"):
        fence.check_fencing_epoch(str(path), epoch)
    assert not path.exists()


def test_concurrent_jobs_store_highest_epoch(path: Path) -> None:
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
