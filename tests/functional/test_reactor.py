"""Test the reaction in Salt's own reactor, and the events of the extension on a real bus.

The value of an event stays a value, or the reaction refuses it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.utils.event
import salt.utils.reactor
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from metalk8s_expand.clients.salt.event_bus import Bus
from metalk8s_expand.domain.runs import events
from metalk8s_expand.domain.runs.events import NodeStep
from tests import extension

SLS = extension.served("reactor") / "metalk8s_expand_add.sls"
SERVED = "salt://metalk8s/reactor/metalk8s_expand_add.sls"
TAG = "metalk8s/expand/add"
# The runner that the reaction calls; it records its arguments.
RUNNER = """
import json
def request(*args, **kwargs):
    with open({path!r}, "a") as kept:
        kept.write(json.dumps([list(args), {{key: kwargs[key] for key in kwargs if not key.startswith("__")}}]) + "\\n")
    return {{}}
"""


PUBLISHER = """
import json, sys
import salt.channel.server, salt.config, salt.utils.event
opts = salt.config.master_config(None)
opts.update(json.loads(sys.argv[1]))
if hasattr(salt.utils.event, "EventPublisher"):  # up to 3006
    salt.utils.event.EventPublisher(opts).run()
else:
    salt.channel.server.MasterPubServerChannel.factory(opts)._publish_daemon()
"""


@pytest.fixture(scope="module")
def opts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the options of a master with the documented reactor configuration.

    Its tree serves the reaction under the documented name.
    """
    # The path of a socket must be short.
    root = tmp_path_factory.mktemp("m")
    tree = root / "tree" / "metalk8s" / "reactor"
    tree.mkdir(parents=True)
    (tree / SLS.name).write_text(SLS.read_text())
    (root / "runners").mkdir()
    (root / "runners" / "metalk8s_expand.py").write_text(RUNNER.format(path=str(root / "called")))
    for name in ("sock", "cache/proc", "pki"):
        (root / name).mkdir(parents=True)
    found: dict[str, Any] = salt.config.master_config(None)
    found.update(
        {
            "id": "lab_master", "root_dir": str(root), "cachedir": str(root / "cache"), "sock_dir": str(root / "sock"),
            "pki_dir": str(root / "pki"), "extension_modules": str(root / "ext"), "runner_dirs": [str(root / "runners")],
            "file_roots": {"base": [str(root / "tree")], "metalk8s-2.0": [str(root / "tree")]}, "file_client": "local", "log_file": str(root / "log"),
            "reactor": [{TAG: [SERVED]}], "called": str(root / "called"), "ipc_mode": "ipc",
        }
    )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def reactor(opts: dict[str, Any]) -> salt.utils.reactor.Reactor:
    return salt.utils.reactor.Reactor(opts)


def chunks(reactor: Any, data: Any) -> list[dict[str, Any]]:
    return list(reactor.reactions(TAG, data, reactor.list_reactors(TAG)))


def asked(reactor: Any, data: Any) -> list[Any]:
    """Return the arguments of the runner."""
    found = chunks(reactor, data)
    assert all(
        (chunk["state"], chunk["fun"]) == ("runner", "metalk8s_expand.request") for chunk in found
    )
    assert all(
        set(chunk) <= {"state", "fun", "name", "args", "order", "__id__", "__sls__", "__env__"}
        for chunk in found
    )
    return [chunk["args"] for chunk in found]


def by_minion(node: Any) -> dict[str, Any]:
    """Return the event data of ``salt-call event.send metalk8s/expand/add node=…``."""
    return {
        "id": "worker-1",
        "tag": TAG,
        "cmd": "_minion_event",
        "pretag": None,
        "data": {"node": node, "__pub_pid": 7},
    }


def on_master(node: Any) -> dict[str, Any]:
    return {"node": node, "_stamp": "2026-01-01T00:00:00"}


SHAPES = pytest.mark.parametrize("shape", [by_minion, on_master])


@SHAPES
def test_node_name_is_passed_to_runner(reactor: Any, shape: Callable[[Any], Any]) -> None:
    assert asked(reactor, shape("worker-2")) == [[{"node": "worker-2"}]]


def test_reaction_is_served_from_named_saltenv(reactor: Any) -> None:
    found = reactor.reactions(TAG, on_master("w-1"), [f"{SERVED}?saltenv=metalk8s-2.0"])
    assert [chunk["args"] for chunk in found] == [[{"node": "w-1"}]]


def test_event_data_besides_node_is_ignored(reactor: Any) -> None:
    data = {
        **on_master("w-1"),
        "address": "10.0.0.1",
        "roles": ["master"],
        "retry": True,
        "fun": "cmd.run",
        "user": "root",
    }
    assert asked(reactor, data) == [[{"node": "w-1"}]]
    data = by_minion("w-1")
    data["data"] |= {
        "retry": True,
        "address": "10.0.0.1",
        "profile": "control-plane",
        "kwarg": {"retry": True},
    }
    assert asked(reactor, {**data, "node": "other"}) == [[{"node": "w-1"}]]


# The reaction passes these short texts unchanged; the runner refuses them.
HOSTILE = [
    "{{ 7 * 7 }}", "{% for x in range(9) %}{% endfor %}", "{{ salt['cmd.run']('id') }}", "#!jinja", "#!py",
    "a: b", "- a", "&a *a", "!!python/object/apply:os.system [id]", "{}", "[]", "null", "true", "012", "1e9", "---", "a\nb: c",
    "w-1\n  other:\n    local.cmd.run: []", "$(id)", "`id`", "; reboot", "| sh", "../../etc/passwd", "w-1 retry=True",
    "retry=True", "\u202ew-1", "w\u200b1", "Ünïcode", "\U0001f4a3", "w-1\x00", "\x1b[2J", "%s%n", "node", "'", '"', "\\",
]  # fmt: skip


@SHAPES
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_stays_a_value(reactor: Any, shape: Callable[[Any], Any], text: str) -> None:
    assert asked(reactor, shape(text)) == [[{"node": text}]]


WRONG = [
    None, True, False, 7, 1.5, b"w-1", [], ["w-1"], {}, {"node": "w-1"}, {"w-1": None}, "", "a" * 64, "a" * 10_000_000,
    float("nan"), [[[[]]]],
]  # fmt: skip


@SHAPES
@pytest.mark.parametrize(
    "value", WRONG, ids=lambda value: f"{type(value).__name__} {str(value)[:9]}"
)
def test_wrong_types_and_lengths_are_refused_and_logged(
    reactor: Any, shape: Callable[[Any], Any], value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert chunks(reactor, shape(value)) == []
    [line] = [record.getMessage() for record in caplog.records]
    assert "refused" in line and len(line) < 400 and line.isascii() and "\n" not in line


@pytest.mark.parametrize(
    "data", [{}, {"data": None}, {"data": "w-1"}, {"data": ["node"]}, None, "text", [], 7], ids=repr
)
def test_events_of_other_shapes_are_refused(reactor: Any, data: Any) -> None:
    assert chunks(reactor, data) == []


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@limits(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=st.dictionaries(
        st.sampled_from(["node", "data", "id", "tag", "user"]) | st.text(), TREES, max_size=4
    )
)
def test_only_short_text_of_random_event_reaches_runner(
    reactor: Any, payload: dict[str, Any]
) -> None:
    sent = payload.get("data", payload)
    node = sent.get("node") if isinstance(sent, dict) else None
    wanted = [[{"node": node}]] if isinstance(node, str) and 0 < len(node) <= 63 else []
    assert asked(reactor, payload) == wanted


@pytest.fixture
def called(opts: dict[str, Any]) -> Path:
    path = Path(opts["called"])
    path.write_text("")
    return path


def test_runner_gets_unchanged_value(
    reactor: Any, opts: dict[str, Any], bus: None, called: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the reactions in the threads of Salt's reactor, as the master does."""
    monkeypatch.setattr(salt.utils.reactor.ReactWrap, "client_cache", None)
    reactor.wrap = salt.utils.reactor.ReactWrap(opts)
    sent = ["w-1", *HOSTILE]
    for text in sent:
        reactor.call_reactions(chunks(reactor, by_minion(text)))
    deadline = time.monotonic() + 60
    while len(found := called.read_text().splitlines()) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sorted(found) == sorted(json.dumps([[], {"node": text}]) for text in sent)


# Events of the extension


@pytest.fixture(scope="module")
def bus(opts: dict[str, Any]) -> Iterator[None]:
    """Start the process of a master that publishes events."""
    settings = {
        key: opts[key]
        for key in (
            "id",
            "root_dir",
            "cachedir",
            "sock_dir",
            "pki_dir",
            "extension_modules",
            "ipc_mode",
        )
    }
    log = Path(opts["root_dir"]) / "publisher.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, json.dumps(settings)], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 60
        while not (Path(opts["sock_dir"]) / "master_event_pull.ipc").exists():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait(10)


def test_step_event_is_received_on_bus(opts: dict[str, Any], bus: None) -> None:
    with salt.utils.event.get_event(
        "master", sock_dir=opts["sock_dir"], opts=opts, listen=True
    ) as listener:
        listener.get_event(wait=0.1)
        deploy = NodeStep("20260101000000", "w-1", "deploy")
        tag, payload = events.step(deploy, events.DONE, 12.3456, "20260101000001")
        assert Bus(opts).fire(tag, payload) is True
        heard = listener.get_event(wait=10, tag="metalk8s_expand/20260101000000/w-1", full=True)
    assert heard is not None
    assert heard["tag"] == "metalk8s_expand/20260101000000/w-1/deploy"
    assert {key: heard["data"][key] for key in payload} == payload


def test_missing_bus_causes_no_error_and_no_long_delay(
    opts: dict[str, Any], tmp_path: Path
) -> None:
    nowhere = Bus({**opts, "sock_dir": str(tmp_path)})
    started = time.monotonic()
    assert [nowhere.fire("metalk8s_expand/1/started", {}) for _ in range(20)] == [False] * 20
    assert time.monotonic() - started < 10
