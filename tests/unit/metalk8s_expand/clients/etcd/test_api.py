"""etcd's JSON gateway over real TLS with client certificates: answers, refusals and silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from metalk8s_expand.clients.etcd.api import Credentials, Etcd
from metalk8s_expand.domain.etcd.quorum import Alarm
from metalk8s_expand.errors import ConflictError, UnreachableError
from tests.fakes import https_server
from tests.fakes.certificates import certificate_builder, distinguished_name, write_pair
from tests.unit.metalk8s_expand.conftest import free_port

Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


class Member:
    """One member's gateway; ``answer`` may be replaced."""

    def __init__(self, pki: Path, name: str) -> None:
        self.name = name
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: Answer = lambda path, body: (200, {})
        member = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                member.asked.append((self.path, body))
                status, value = member.answer(self.path, body)
                text = (value if isinstance(value, str) else json.dumps(value)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None: ...

        self.server = https_server.serve(pki, Handler)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def member(pki: Path) -> Iterator[Callable[[str], Member]]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Member(pki, name))


@pytest.fixture
def client(pki: Path) -> Callable[..., Etcd]:
    credentials = Credentials(str(pki / "ca.crt"), str(pki / "client.crt"), str(pki / "client.key"))
    return lambda *urls: Etcd(urls, credentials, timeout=2.0)


HEADER = {"cluster_id": "7", "member_id": "1", "raft_term": "2"}
ALARM = "memberID:2 alarm:NOSPACE "
STATUS = {"header": HEADER, "leader": "1", "raftIndex": "5000", "raftAppliedIndex": "4999"}


def listed(number: int, url: str | None, **more: Any) -> dict[str, Any]:
    urls = {"clientURLs": [url]} if url else {}
    return {
        "ID": str(number),
        "name": f"m{number}",
        "peerURLs": [f"https://10.0.0.{number}:2380"],
        **urls,
        **more,
    }


def serve(server: Member, members: list[dict[str, Any]], **status: Any) -> None:
    answers = {
        "/v3/cluster/member/list": {"header": HEADER, "members": members},
        "/v3/maintenance/status": {**STATUS, **status},
    }
    server.answer = lambda path, body: (200, answers[path])


def test_the_members_and_what_each_says_of_itself(member: Any, client: Any) -> None:
    one, two = member("m1"), member("m2")
    everyone = [
        listed(1, one.url),
        listed(2, two.url, isLearner=True),
        listed(3, f"https://127.0.0.1:{free_port()}"),
        {"ID": str(2**63), "peerURLs": ["https://10.0.0.4:2380"], "isLearner": True},
    ]
    serve(one, everyone)
    serve(two, everyone, isLearner=True, errors=["raft: stopped", ALARM])
    first, second, third, fourth = client(one.url).members()
    assert (first.id, first.name, first.peer_urls) == (1, "m1", ("https://10.0.0.1:2380",))
    assert (first.healthy, first.learner, first.cluster_id) == (True, False, 7)
    assert (first.raft_index, first.applied_index, first.error) == (5000, 4999, None)
    assert (second.healthy, second.learner, second.error) == (False, True, "raft: stopped")
    assert second.alarms == (Alarm(2, "NOSPACE"),)
    assert third.healthy is None
    assert "does not answer" in str(third.error)
    assert (third.cluster_id, third.raft_index) == (None, None)
    assert (fourth.id, fourth.name, fourth.learner, fourth.healthy) == (2**63, "", True, None)
    assert "not started" in str(fourth.error)
    assert one.asked[0] == ("/v3/cluster/member/list", {"linearizable": False})


def test_a_voter_that_lists_other_members_is_ill(member: Any, client: Any) -> None:
    one, two = member("m1"), member("m2")
    everyone = [listed(1, one.url), listed(2, two.url)]
    serve(one, everyone)
    serve(two, [*everyone, listed(3, None)])
    first, second = client(one.url).members()
    assert first.healthy is True
    assert second.healthy is False
    assert "member list differs" in str(second.error)


def test_a_member_without_a_leader_is_ill(member: Any, client: Any) -> None:
    one = member("m1")
    serve(one, [listed(1, one.url)], leader="0")
    [found] = client(one.url).members()
    assert (found.healthy, found.error) == (False, "it has no leader")


def test_zeros_are_left_out_by_the_gateway(member: Any, client: Any) -> None:
    one = member("m1")
    one.answer = lambda path, body: (
        200,
        {"header": HEADER, "members": [listed(1, one.url)]}
        if "list" in path
        else {"header": HEADER},
    )
    [found] = client(one.url).members()
    assert (found.healthy, found.raft_index, found.applied_index) == (False, 0, 0)


def test_a_learner_that_refuses_the_list_is_passed_over(member: Any, client: Any) -> None:
    learner, voter = member("learner"), member("voter")
    learner.answer = lambda path, body: (
        503,
        {"code": 14, "message": "etcdserver: rpc not supported for learner"},
    )
    serve(voter, [listed(1, voter.url)])
    assert [found.name for found in client(learner.url, voter.url).members()] == ["m1"]


def test_silent_endpoint_is_skipped(member: Any, client: Any) -> None:
    voter = member("voter")
    serve(voter, [listed(1, voter.url)])
    assert len(client(f"https://127.0.0.1:{free_port()}", voter.url).members()) == 1


def test_changes(member: Any, client: Any) -> None:
    one = member("m1")
    one.answer = lambda path, body: (200, {"member": {"ID": str(2**64 - 1)}})
    etcd = client(one.url)
    assert etcd.add_learner("https://10.0.0.9:2380") == 2**64 - 1
    etcd.promote(9)
    etcd.remove(9)
    assert one.asked == [
        ("/v3/cluster/member/add", {"peerURLs": ["https://10.0.0.9:2380"], "isLearner": True}),
        ("/v3/cluster/member/promote", {"ID": "9"}),
        ("/v3/cluster/member/remove", {"ID": "9"}),
    ]


REFUSALS = [
    (
        400,
        {"code": 9, "message": "etcdserver: unhealthy cluster"},
        ConflictError,
        "unhealthy cluster",
    ),
    (
        404,
        {"code": 5, "message": "etcdserver: member not found"},
        ConflictError,
        "member not found",
    ),
    (412, {"code": 9, "message": "can only promote a learner"}, ConflictError, "can only promote"),
    (400, {"error": "x"}, ConflictError, "error"),
    (
        503,
        {"code": 14, "message": "etcdserver: leader changed"},
        UnreachableError,
        "leader changed",
    ),
    (
        504,
        {"code": 4, "message": "context deadline exceeded"},
        UnreachableError,
        "deadline exceeded",
    ),
    (200, [], UnreachableError, "cannot serve"),
    (502, "[]", UnreachableError, "cannot serve"),
]


@pytest.mark.parametrize(("status", "body", "error", "words"), REFUSALS)
def test_refusals(
    member: Any, client: Any, status: int, body: Any, error: type[Exception], words: str
) -> None:
    one = member("m1")
    one.answer = lambda path, value: (status, body)
    with pytest.raises(error, match=words):
        client(one.url).promote(9)


def test_a_refusal_is_not_final(member: Any, client: Any) -> None:
    """A learner refuses with the same code as a voter (etcd 3.6), so the next member is asked."""
    one, two = member("m1"), member("m2")
    one.answer = lambda path, value: (
        400,
        {"code": 9, "message": "etcdserver: rpc not supported for learner"},
    )
    two.answer = lambda path, value: (200, {})
    client(one.url, two.url).remove(9)
    assert [path for path, _ in two.asked] == ["/v3/cluster/member/remove"]


def test_refused_by_everyone(member: Any, client: Any) -> None:
    one, two = member("m1"), member("m2")
    one.answer = lambda path, value: (400, {"code": 9, "message": "first"})
    two.answer = lambda path, value: (400, {"code": 9, "message": "second"})
    with pytest.raises(ConflictError) as error:
        client(one.url, two.url).remove(9)
    assert "first" in error.value.message
    assert "second" in error.value.message


def test_silent_endpoints_are_unreachable(client: Any) -> None:
    first, second = free_port(), free_port()
    with pytest.raises(UnreachableError) as error:
        client(f"https://127.0.0.1:{first}", f"https://127.0.0.1:{second}").members()
    assert f":{first}" in error.value.message
    assert f":{second}" in error.value.message
    assert error.value.hint
    assert error.value.log


def test_missing_endpoints_are_unreachable(client: Any) -> None:
    with pytest.raises(UnreachableError, match="no endpoint is known"):
        client().members()


def test_a_silent_member_within_its_deadline(pki: Path, silent_port: int) -> None:
    credentials = Credentials(str(pki / "ca.crt"), str(pki / "client.crt"), str(pki / "client.key"))
    with pytest.raises(UnreachableError, match="timed out"):
        Etcd([f"https://127.0.0.1:{silent_port}"], credentials, timeout=0.3).members()


def test_a_server_of_another_authority_is_not_trusted(
    member: Any, pki: Path, tmp_path: Path
) -> None:
    one = member("m1")
    key = ec.generate_private_key(ec.SECP256R1())
    name = distinguished_name("another-ca")
    write_pair(tmp_path, "ca", key, certificate_builder(name, name, key).sign(key, hashes.SHA256()))
    credentials = Credentials(
        str(tmp_path / "ca.crt"), str(pki / "client.crt"), str(pki / "client.key")
    )
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        Etcd([one.url], credentials).members()
    assert one.asked == []


def test_missing_certificates_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="No such file"):
        Etcd(
            ["https://127.0.0.1:1"],
            Credentials(str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c")),
        ).members()


def test_leader_comes_from_first_voter_that_knows_it(member: Any, client: Any) -> None:
    one, two = member("m1"), member("m2")
    everyone = [
        listed(1, f"https://127.0.0.1:{free_port()}"),
        listed(2, one.url),
        listed(3, two.url),
    ]
    serve(one, everyone, leader="0")
    serve(two, everyone, leader="3")
    assert client(one.url).leader() == 3
    serve(two, everyone, leader="0")
    assert client(one.url).leader() == 0


def test_the_leader_itself_is_asked_to_hand_over(member: Any, client: Any) -> None:
    one, two = member("m1"), member("m2")
    serve(one, [listed(1, one.url), listed(2, two.url)])
    two.answer = lambda path, body: (200, {})
    client(one.url).move_leader(2, 1)
    assert two.asked == [("/v3/maintenance/transfer-leadership", {"targetID": "1"})]
    two.answer = lambda path, body: (400, {"code": 9, "message": "etcdserver: not leader"})
    with pytest.raises(ConflictError, match="not leader"):
        client(one.url).move_leader(2, 1)
    with pytest.raises(ConflictError, match="no started member 9"):
        client(one.url).move_leader(9, 1)
