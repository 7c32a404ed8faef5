"""Tests that a real OpenSSH reaches all hosts in parallel, and that all problems are reported
together.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import salt.config

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.cluster.context import ClusterContext
from metalk8s_expand.domain.declaration.settings import Settings
from metalk8s_expand.domain.node import roles
from metalk8s_expand.domain.node.spec import Node, Ssh
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.checks.etcd import PORTS
from metalk8s_expand.domain.preflight.cluster_facts import ClusterFacts, Endpoint, ExistingNode
from metalk8s_expand.domain.preflight.thresholds import Thresholds
from metalk8s_expand.errors import PreflightError, UnreachableError
from metalk8s_expand.preflight import hosts as reach
from metalk8s_expand.preflight.hosts import HostAccess, PreflightResult
from metalk8s_expand.remote import host_facts
from tests.unit.metalk8s_expand.conftest import Sshd, free_port
from tests.unit.metalk8s_expand.domain.preflight.checks import hosts

# The probe runs on this machine, so its deficiencies are not the subject here.
NO_CHECKS = Settings(ssh_timeout=20, skip=findings.NAMES)
STRICT = Settings(ssh_timeout=20)
LIMITS = Thresholds(etcd_window_s=3, connect_timeout_s=1)
# Each test process has loopback addresses of its own: several may run at the same time.
NETWORK = f"127.77.{os.getpid() % 250}"
MEMBER, FIRST, SECOND = f"{NETWORK}.1", f"{NETWORK}.11", f"{NETWORK}.12"


def node(name: str = "w-1", address: str = "127.0.0.1", *role: str) -> Node:
    return Node(name, "2.0", role or (roles.NODE,), (), address=address)


def good(number: int) -> Node:
    """The node whose host returns ``hosts.other(number)``."""
    return hosts.node(f"host-{number}", (roles.NODE,), f"10.200.0.{number}")


def say(sshd: Sshd, *answers: Mapping[str, Any]) -> None:
    """Make hosts answer with these facts: each with those of its node's number, or all with the
    only ones.

    The time in the facts is the time of the answer.
    """
    lines = [
        f"echo '{host_facts.MARK}{json.dumps({**answer, 'time': None})}'" for answer in answers
    ]
    lines = [line.replace('"time": null', "\"time\": '$(date +%s.%N)'") for line in lines]
    if len(lines) == 1:
        sshd.force(f"cat >/dev/null; {lines[0]}")
        return
    cases = "".join(f'*host-{number}\\"*) {line};; ' for number, line in enumerate(lines, start=1))
    sshd.force(f'cat >/dev/null; case "$SSH_ORIGINAL_COMMAND" in {cases} esac')


def ask(
    sshd: Sshd, nodes: Sequence[Node], settings: Settings = NO_CHECKS, **more: Any
) -> PreflightResult:
    """Run the preflight of all these nodes on the only server."""
    around = more.pop("around", ClusterFacts())
    access = HostAccess([sshd.target(one.name) for one in nodes], **more)
    return reach.ask_hosts(nodes, settings, around, access, Clock())


def test_probe_reports_facts_of_host(sshd: Sshd) -> None:
    found = ask(sshd, [node()])
    assert found.error() is None
    said = found.facts["w-1"]
    assert sshd.port in said["ports"]
    assert "127.0.0.1" in said["addresses"]
    assert said["uid"] == (0 if getpass.getuser() == "root" else said["uid"])
    assert abs(said["time"] - time.time()) < 60
    assert set(said) >= {
        "python",
        "architecture",
        "memory_mb",
        "directories",
        "systemd",
        "leftovers",
        "minion_id",
    }


def test_probe_receives_facts_of_cluster(sshd: Sshd) -> None:
    port = free_port()
    around = ClusterFacts(
        endpoints=(
            Endpoint("api", "a", "127.77.0.9", sshd.port),
            Endpoint("artifacts", "s", "127.0.0.1", port),
        )
    )
    said = ask(sshd, [node(address="127.77.0.11")], around=around).facts["w-1"]["connections"]
    assert said == {
        f"127.77.0.9:{sshd.port}": "connection refused",
        f"127.0.0.1:{port}": "connection refused",
    }


def test_files_and_clock_are_replaced_by_the_labs_sources(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("from a file\n")
    sources = {"w-1": {"/etc/machine-id": str(tmp_path / "id"), "clock": 3600}}
    found = ask(
        sshd, [node(), node("w-2")], replace(NO_CHECKS, skip=_all_but("clock")), sources=sources
    )
    assert found.facts["w-1"]["machine_id"] == "from a file" != found.facts["w-2"]["machine_id"]
    assert {item.node: item.check for item in found.findings}["w-1"] == "clock"


def _all_but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in findings.NAMES if name not in names)


def test_suitable_host_has_no_findings(sshd: Sshd) -> None:
    say(sshd, hosts.other(1))
    found = ask(sshd, [good(1)], STRICT, around=hosts.SURROUNDINGS)
    assert (found.findings, found.failed, found.error(), found.retcode) == ((), (), None, 0)


def test_unreachable_and_unfit_hosts_are_reported_together(sshd: Sshd) -> None:
    say(sshd, hosts.other(1, {"uid": 1000, "cpus": 0}))
    unfit = good(1)
    targets = [Target("gone", "127.0.0.1", free_port()), sshd.target(unfit.name)]
    found = reach.ask_hosts(
        [node("gone"), unfit], STRICT, hosts.SURROUNDINGS, HostAccess(targets), Clock()
    )
    assert found.failed == ("gone", "host-1")
    error = found.error()
    assert isinstance(error, UnreachableError)
    assert "gone" in error.message
    assert ["connection refused" in str(problem) for problem in error.problems] == [
        True,
        False,
        False,
    ]
    assert {"privilege", "cpu"} <= {item.check for item in found.findings}
    assert set(found.reasons) == {"gone", "host-1"}
    assert "privilege" in found.reasons["host-1"]
    assert "cpu" in found.reasons["host-1"]
    data = found.as_dict()
    assert (data["hosts"], data["retcode"]) == ({"host-1": "failed", "gone": "unreachable"}, 4)
    assert data["unreachable"]["gone"]["hint"]
    json.dumps(data)


def test_unfit_hosts_alone_are_a_different_error(sshd: Sshd) -> None:
    say(sshd, hosts.other(1, {"uid": 1000, "systemd": False}))
    found = ask(sshd, [good(1)], STRICT, around=hosts.SURROUNDINGS)
    error = found.error()
    assert isinstance(error, PreflightError)
    assert (len(error.problems), found.retcode) == (2, 3)


def test_clones_are_found_among_the_hosts_and_the_nodes(sshd: Sshd) -> None:
    clone = {"machine_id": "b" * 32}
    say(sshd, hosts.other(1, clone), hosts.other(2, clone), hosts.other(3))
    found = ask(sshd, [good(1), good(2), good(3)], STRICT, around=hosts.SURROUNDINGS)
    assert [(item.node, item.check) for item in found.findings] == [
        ("host-1", "machine-id"),
        ("host-2", "machine-id"),
    ]
    assert "bootstrap, host-2" in found.findings[0].found


def test_check_skipped_on_first_node_runs_on_second(sshd: Sshd) -> None:
    say(sshd, hosts.other(1, {"uid": 1000}), hosts.other(2, {"uid": 1000}))
    settings = replace(STRICT, node_skip={"host-1": ("privilege",)})
    assert ask(sshd, [good(1), good(2)], settings, around=hosts.SURROUNDINGS).failed == ("host-2",)


def test_warnings_and_unknown_facts_stop_nothing(sshd: Sshd) -> None:
    say(sshd, hosts.other(1, {"product_uuid": None, "selinux": None}))
    found = ask(sshd, [good(1)], STRICT, around=hosts.SURROUNDINGS)
    assert {item.severity for item in found.findings} == {findings.UNKNOWN}
    assert (found.failed, found.error(), found.as_dict()["hosts"]) == (
        (),
        None,
        {"host-1": "passed"},
    )


def test_the_clock_is_compared_at_the_moment_of_the_answer(sshd: Sshd) -> None:
    settings = replace(NO_CHECKS, skip=_all_but("clock"))
    sshd.force('sleep 1; eval "$SSH_ORIGINAL_COMMAND"')
    assert ask(sshd, [node()], settings).findings == ()


class TestAnswers:
    @pytest.mark.parametrize(
        "noise", ["Welcome!", "5", "null", f"{host_facts.MARK}[1]", f"{host_facts.MARK}{{", ""]
    )
    def test_invalid_answer_is_an_error(self, sshd: Sshd, noise: str) -> None:
        sshd.force(f"cat >/dev/null; echo '{noise}'")
        error = ask(sshd, [node()]).unreachable["w-1"]
        assert error.as_dict()["cause"] == "shell-runs-no-command"

    def test_noise_beside_the_answer(self, sshd: Sshd) -> None:
        sshd.force('echo "Last login"; eval "$SSH_ORIGINAL_COMMAND"')
        error = ask(sshd, [node()]).unreachable["w-1"]
        assert error.as_dict()["cause"] == "shell-noise"
        assert "Last login" in error.message

    def test_a_host_without_python(self, sshd: Sshd) -> None:
        sshd.force('PATH=/nonexistent; export PATH; eval "$SSH_ORIGINAL_COMMAND"')
        assert ask(sshd, [node()]).unreachable["w-1"].as_dict()["cause"] == "no-python"

    def test_a_python_that_does_not_run_the_probe(self, sshd: Sshd) -> None:
        sshd.force(
            'case "$SSH_ORIGINAL_COMMAND" in *-BIS*) echo broken >&2; exit 3;; esac; eval "$SSH_ORIGINAL_COMMAND"'
        )
        error = ask(sshd, [node()]).unreachable["w-1"]
        assert "the probe ended with 3: broken" in error.message
        assert error.node == "w-1"

    def test_a_silent_host_does_not_hold_up_the_others(self, sshd: Sshd, silent_port: int) -> None:
        started = time.monotonic()
        targets = [Target("silent", "127.0.0.1", silent_port), sshd.target("good")]
        found = reach.ask_hosts(
            [node("silent"), node("good")],
            replace(NO_CHECKS, ssh_timeout=1),
            ClusterFacts(),
            HostAccess(targets),
            Clock(),
        )
        assert time.monotonic() - started < 30
        assert (list(found.unreachable), list(found.facts)) == (["silent"], ["good"])

    def test_empty_list_of_nodes_has_no_findings(self) -> None:
        found = reach.ask_hosts([], NO_CHECKS, ClusterFacts(), HostAccess([]), Clock())
        assert (found.error(), found.as_dict()) == (
            None,
            {"hosts": {}, "findings": [], "unreachable": {}, "retcode": 0},
        )


class Members:
    """The minion of an existing member, at its address.

    It connects for real, unless ``says`` sets its answer.
    """

    def __init__(self, says: Any = None) -> None:
        self.says = says
        self.places: list[tuple[str, int]] = []
        self.window = 0.0

    def ask(
        self, minions: Iterable[str], function: str, arguments: Sequence[Any]
    ) -> Mapping[str, Any]:
        places, self.window = arguments
        self.places = [(address, port) for address, port in places]
        said = (
            {host_facts.place(place): self._knock(place) for place in self.places}
            if self.says is None
            else self.says
        )
        return dict.fromkeys(minions, said)

    def _knock(self, place: tuple[str, int]) -> str:
        until = time.monotonic() + self.window
        while time.monotonic() < until:
            try:
                socket.create_connection(place, 1, source_address=(MEMBER, 0)).close()
            except OSError:
                time.sleep(0.05)
            else:
                return ""
        return "no answer"


@pytest.fixture
def member() -> Iterator[None]:
    """An etcd that only listens."""
    servers = [socket.create_server((MEMBER, port)) for port in PORTS]
    yield
    for server in servers:
        server.close()


@pytest.mark.usefixtures("member")
class TestEtcd:
    around = ClusterFacts(
        nodes={"boot": ExistingNode("boot", (MEMBER,))}, etcd_peers={"boot": MEMBER}
    )
    # A loaded machine may need time for a login.
    settings = replace(
        NO_CHECKS, ssh_timeout=30, skip=_all_but("etcd-peers", "etcd-inbound"), thresholds=LIMITS
    )

    def test_new_members_and_existing_member_reach_each_other(self, sshd: Sshd) -> None:
        nodes, peers = [node("e-1", FIRST, roles.ETCD), node("e-2", SECOND, roles.ETCD)], Members()
        found = ask(sshd, nodes, self.settings, around=self.around, peers=peers)
        assert found.findings == ()
        assert sorted(set(peers.places)) == [
            (address, port) for address in (FIRST, SECOND) for port in PORTS
        ]
        assert peers.window == self.settings.ssh_timeout + LIMITS.etcd_window_s

    def test_result_of_existing_member_counts(self, sshd: Sshd) -> None:
        says = {f"{FIRST}:2379": "", f"{FIRST}:2380": "no answer"}
        found = ask(
            sshd,
            [node("e-1", FIRST, roles.ETCD)],
            self.settings,
            around=self.around,
            peers=Members(says),
        )
        [finding] = found.findings
        assert (finding.check, finding.severity, finding.found) == (
            "etcd-inbound",
            "error",
            "from boot to 2380: no answer",
        )

    def test_member_that_was_asked_too_late_gives_no_result(self, sshd: Sshd) -> None:
        class Late(Members):
            def ask(self, *question: Any) -> Mapping[str, Any]:
                time.sleep(question[2][1] + LIMITS.etcd_window_s)
                return {"boot": {f"{FIRST}:{port}": "connection refused" for port in PORTS}}

        settings = replace(self.settings, ssh_timeout=2)
        found = ask(
            sshd, [node("e-1", FIRST, roles.ETCD)], settings, around=self.around, peers=Late()
        )
        assert [(item.check, item.severity) for item in found.findings] == [
            ("etcd-inbound", findings.UNKNOWN)
        ]

    @pytest.mark.parametrize("peers", [None, Members("Minion did not return")])
    def test_member_without_answer_is_unknown(self, sshd: Sshd, peers: Members | None) -> None:
        found = ask(
            sshd, [node("e-1", FIRST, roles.ETCD)], self.settings, around=self.around, peers=peers
        )
        assert [(item.check, item.severity) for item in found.findings] == [
            ("etcd-inbound", findings.UNKNOWN)
        ]

    def test_new_members_listen_together_despite_low_parallelism(self, sshd: Sshd) -> None:
        nodes = [node("w-1"), node("e-1", FIRST, roles.ETCD), node("e-2", SECOND, roles.ETCD)]
        found = ask(sshd, nodes, self.settings, around=self.around, peers=Members(), max_parallel=1)
        assert found.findings == ()
        assert list(found.facts) == ["w-1", "e-1", "e-2"]

    def test_workers_alone_need_no_member(self, sshd: Sshd) -> None:
        peers = Members()
        ask(sshd, [node()], self.settings, around=self.around, peers=peers)
        assert peers.places == []

    def test_remains_of_interrupted_run_are_no_member_and_no_api_server(self, sshd: Sshd) -> None:
        endpoints = (
            Endpoint("api", "API server of e-1", FIRST, 1),
            Endpoint("artifacts", "store", FIRST, 1),
        )
        around = replace(
            self.around, etcd_peers={**self.around.etcd_peers, "e-1": FIRST}, endpoints=endpoints
        )
        nodes = [node("e-1", FIRST, roles.ETCD), node("e-2", SECOND, roles.ETCD)]
        before = set(threading.enumerate())
        found = ask(sshd, nodes, self.settings, around=around, peers=Members())
        assert found.findings == ()
        assert f"{FIRST}:1" in found.facts["e-2"]["connections"], "of the artifact store"
        assert _no_more_than(before), "nothing is left running"


def _no_more_than(before: set[threading.Thread]) -> bool:
    """Return whether every new thread has ended.

    A session's thread needs a moment to notice that the session is closed.
    """
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    return set(threading.enumerate()) <= before


def test_by_the_masters_configuration(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opts = salt.config.master_config(None)
    opts.update(id="boot", cachedir=str(tmp_path), known_hosts_file=str(sshd.known_hosts))
    opts["metalk8s_expand"] = {"probe_sources": {"w-1": {"clock": 3600}}}
    ssh = Ssh("127.0.0.1", sshd.port, getpass.getuser(), str(sshd.key))
    monkeypatch.setattr(
        reach.collect_cluster_facts,
        "collect_cluster_facts",
        lambda world, settings, names: hosts.SURROUNDINGS,
    )
    settings = replace(NO_CHECKS, skip=_all_but("clock"))
    found = reach.run_host_preflight(
        ClusterContext(opts, None), [replace(node(), ssh=ssh)], settings, Clock()
    )  # type: ignore[arg-type]
    assert [item.check for item in found.findings] == ["clock"]


@pytest.mark.parametrize(("count", "lines"), [(1, 1), (10, 10), (300, 1)])
def test_progress_shows_many_hosts_in_one_line(count: int, lines: int) -> None:
    shown: list[tuple[str, str, str]] = []
    nodes = [Node(f"w-{number}", "1", (), ()) for number in range(count)]
    reach.show_hosts(lambda *line: shown.append(line), nodes)
    assert len(shown) == lines
    if count == 300:
        assert shown == [("", "check_ssh, preflight", "asking 300 hosts: w-[0-299]")]
