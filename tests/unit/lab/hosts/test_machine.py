"""Test that the check of the machine reports every problem with its remedy."""

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
def test_machine_problem_is_reported_with_its_value(change, text):
    (problem,) = problems(replace(GOOD, **change))
    assert text in problem


def test_all_machine_problems_are_reported_together():
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
def test_resources_of_existing_lab_are_not_required_again(change):
    assert problems(replace(GOOD, **change)) == []


@pytest.mark.parametrize(("before", "after"), [("128\n", 4096), ("8192\n", 8192)])
def test_inotify_limit_is_raised_and_never_lowered(tmp_path, before, after):
    limit = tmp_path / "max_user_instances"
    limit.write_text(before)
    let_watch(limit)
    assert int(limit.read_text()) == after
