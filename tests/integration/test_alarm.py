"""An alarm of real members: it is reported once, refuses every change, and its remedy works."""

from __future__ import annotations

import json

import pytest

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.etcd.quorum import Alarm
from metalk8s_expand.errors import QuorumError
from tests.integration.daemons import eventually
from tests.integration.etcd_host import Host, is_up, voters

QUOTA, VALUE = 4_000_000, "x" * 100_000


def fill(host: Host, members: list[Host]) -> None:
    """Restart the member with a small quota, and write until it raises the alarm NOSPACE."""
    host.power_off()
    host.files.config.write_text(
        host.files.config.read_text() + f"\nquota-backend-bytes: {QUOTA}\n"
    )
    host.power_on()
    eventually("three healthy voters", is_up(host, members))
    for number in range(2 * QUOTA // len(VALUE)):
        done = host.ctl("put", f"key-{number}", VALUE)
        if "database space exceeded" in done.stderr:
            return
        assert done.returncode == 0, done.stderr
    raise AssertionError("the quota was never reached")


def test_alarm_of_a_full_store_is_reported_once_and_its_remedy_works(trio: list[Host]) -> None:
    a, b, c = trio[:3]
    fill(c, trio[:3])
    [own] = [member.id for member in c.members() if member.name == c.name]
    eventually(
        "every member reports the alarm",
        lambda: all(member.alarms == (Alarm(own, "NOSPACE"),) for member in a.members()),
        15,
    )
    assert voters(a) == sorted(host.name for host in (a, b, c))
    [problem] = quorum.health_problems(a.members())
    assert problem.startswith(f"etcd has the alarm NOSPACE of member {c.name} ({own:x}): ")

    with pytest.raises(QuorumError) as refused:
        trio[3].add(trio[:3], timeout=1.0)
    assert problem in refused.value.problems

    status = json.loads(c.ctl("endpoint", "status", "-w", "json").stdout)[0]["Status"]
    endpoints = "--endpoints=" + ",".join(f"https://{host.address}:2379" for host in (a, b, c))
    for command in (
        ("compact", str(status["header"]["revision"])),
        (endpoints, "defrag"),
        ("alarm", "disarm"),
    ):
        done = c.ctl(*command)
        assert done.returncode == 0, done.stderr
    assert quorum.health_problems(a.members()) == []
    c.put("key", "value")
