"""A machine that cannot hold the lab is told everything that is wrong, with a remedy each."""

from dataclasses import replace

import pytest
from metalk8s_lab.hosts.machine import Facts, let_watch, problems

GIB = 1024**3
GOOD = Facts(
    system="Linux",
    is_root=True,
    has_apt=True,
    memory=16 * GIB,
    disk=60 * GIB,
    cache_is_full=False,
    lab_runs=False,
    lacking_kernel=(),
)


def test_good_machine_has_no_problems():
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"system": "Darwin"}, "needs Linux, this is Darwin"),
        ({"is_root": False}, "sudo"),
        ({"has_apt": False}, "apt-get"),
        ({"memory": 4 * GIB}, "4.0 GiB of memory are free, 8 are needed"),
        ({"disk": 12 * GIB}, "12.0 GiB of disk are free, 25 are needed"),
        ({"disk": 3 * GIB, "cache_is_full": True}, "3.0 GiB of disk are free, 10 are needed"),
        ({"lacking_kernel": ("overlay",)}, "CONFIG_OVERLAY_FS"),
    ],
)
def test_each_lack_is_told(change, text):
    (problem,) = problems(replace(GOOD, **change))
    assert text in problem


def test_all_lacks_are_told_at_once():
    assert (
        len(
            problems(
                replace(
                    GOOD,
                    is_root=False,
                    has_apt=False,
                    memory=0,
                    disk=0,
                    lacking_kernel=("bridge", "veth"),
                )
            )
        )
        == 6
    )


@pytest.mark.parametrize(
    "change", [{"memory": 2 * GIB, "lab_runs": True}, {"disk": 12 * GIB, "cache_is_full": True}]
)
def test_what_is_used_already_is_not_asked_for_again(change):
    assert problems(replace(GOOD, **change)) == []


@pytest.mark.parametrize(("before", "after"), [("128\n", 4096), ("8192\n", 8192)])
def test_watchers_are_raised_and_never_lowered(tmp_path, before, after):
    limit = tmp_path / "max_user_instances"
    limit.write_text(before)
    let_watch(limit)
    assert int(limit.read_text()) == after
