"""The states of a node's certificates, as Salt sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.host import certificates as files
from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.node import roles
from metalk8s_expand.minion import certificates, signed_certificates
from tests import extension
from tests.fakes.certificate_authority import CertificateAuthority

PATHS = {"kubelet-server": "/etc/kubernetes/pki/kubelet-server"}


class Node:
    """A kubelet that serves what it has read when it was started."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.asked: list[Any] = []

    def observed(self, *asked: Any, clock: Any) -> dict[str, Any]:
        self.asked.append(asked)
        served = {"port": 10250, "serial": self.serial, "not_after": "2026-01-01T00:00:00Z"}
        return {"kubelet-server": {"path": "/x.crt", "serial": "new", "served": served}}

    def restart(self, unit: str) -> bool:
        assert unit == "kubelet"
        self.serial = "new"
        return True


def apply(node: Node, monkeypatch: pytest.MonkeyPatch, test: bool) -> dict[str, Any]:
    module = extension.load("states", "metalk8s_expand_certificates")
    assert module.__virtual__() == "metalk8s_expand_certificates"
    module.__opts__, module.__salt__ = {"test": test}, {"service.restart": node.restart}
    monkeypatch.setattr(certificates, "observed", node.observed)
    found: dict[str, Any] = module.served("w-1", PATHS, "10.0.0.3")
    return found


@pytest.mark.parametrize(
    ("serial", "test", "result", "changes"),
    [
        ("old", False, True, {"kubelet": "restarted"}),
        ("old", True, None, {"kubelet": "restarted"}),
        ("new", False, True, {}),
        ("new", True, True, {}),
    ],
)
def test_served(
    monkeypatch: pytest.MonkeyPatch,
    serial: str,
    test: bool,
    result: bool | None,
    changes: dict[str, str],
) -> None:
    node = Node(serial)
    found = apply(node, monkeypatch, test)
    assert (found["result"], found["changes"]) == (result, changes)
    assert node.serial == (serial if test else "new")
    assert set(map(str, node.asked)) == {str((PATHS, "10.0.0.3"))}


SUBJECT = signing_policies.Subject("w-1", "10.0.0.3", (roles.NODE,))
CONTENTS = signing_policies.contents(SUBJECT)


class Salt:
    """The minion of w-1, the master that publishes its requests, and the CA's minion."""

    def __init__(self, directory: Path, test: bool = False) -> None:
        self.authority = CertificateAuthority(directory)
        self.paths = {purpose: str(directory / purpose) for purpose in CONTENTS}
        self.published: list[Any] = []
        self.signed: list[Any] = []
        self.silent = False
        self.states = extension.load("states", "metalk8s_expand_certificates")
        self.states.__opts__ = {"test": test, "id": "w-1"}
        self.ca = extension.load("modules", "metalk8s_expand_ca")
        self.ca.__salt__ = {"x509.sign_remote_certificate": self.sign}
        self.states.__salt__ = {
            "publish.publish": self.publish,
            signed_certificates.SIGN: self.ca.sign,
        }

    def sign(self, policy: str, arguments: dict[str, str], **more: Any) -> Any:
        self.signed.append((policy, set(arguments), more))
        return self.authority.sign(signing_policies.policies(SUBJECT)[policy], **arguments)

    def publish(self, target: str, function: str, arg: list[Any], timeout: int) -> Any:
        self.published.append((target, function, timeout))
        if self.silent:
            return {}
        sign = lambda policy, public_key: self.sign(policy, {"public_key": public_key})  # noqa: E731
        return {target: signed_certificates.sign_all("w-1", *arg, sign)}

    def apply(self, ca_server: str | None, **more: Any) -> dict[str, Any]:
        contents = {**CONTENTS, **more.pop("contents", {})}
        found: dict[str, Any] = self.states.signed("any", self.paths, contents, ca_server, **more)
        return found

    def files(self) -> set[str]:
        return {path.name for path in self.authority.directory.glob("kubelet*")}


ABSENT = dict.fromkeys(CONTENTS, "it does not exist")


@pytest.fixture(autouse=True)
def pki(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The state compares with the CAs of the node: here they are not known."""
    monkeypatch.setattr(signing_policies, "PKI", str(tmp_path / "pki"))


def test_signed_by_the_minion_of_the_authority_in_one_request(tmp_path: Path) -> None:
    salt = Salt(tmp_path)
    found = salt.apply("boot")
    assert (found["result"], found["changes"]) == (True, ABSENT)
    assert salt.published == [("boot", "metalk8s_expand_ca.sign", 60)]
    again = salt.apply("boot")
    assert (again["result"], again["changes"]) == (True, {})
    assert len(salt.published) == 1


def test_signed_here_on_the_node_of_the_authority(tmp_path: Path) -> None:
    salt = Salt(tmp_path)
    assert salt.apply(None)["changes"] == ABSENT
    assert salt.published == []
    assert {(frozenset(given), more["__pub_id"]) for _, given, more in salt.signed} == {
        (frozenset({"public_key"}), "w-1")
    }
    assert salt.apply(None)["changes"] == {}


@pytest.mark.parametrize("ca_server", ["boot", None])
def test_signed_under_test_reports_reasons_and_writes_nothing(
    tmp_path: Path, ca_server: str | None
) -> None:
    salt = Salt(tmp_path, test=True)
    found = salt.apply(ca_server)
    assert (found["result"], found["changes"]) == (None, ABSENT)
    assert (salt.published, salt.signed, salt.files()) == ([], [], set())


def test_signed_fails_if_the_authority_is_silent(tmp_path: Path) -> None:
    salt = Salt(tmp_path)
    salt.silent = True
    found = salt.apply("boot")
    assert (found["result"], found["changes"], salt.files()) == (False, {}, set())
    assert "the CA's minion boot has not answered" in found["comment"]


def test_signed_replaces_certificates_before_their_end(tmp_path: Path) -> None:
    salt = Salt(tmp_path)
    salt.apply(None)
    serial = files.read(tmp_path / "kubelet-client.crt").serial
    assert salt.apply(None, days_remaining=364)["changes"] == {}
    assert set(salt.apply(None, days_remaining=366)["changes"]) == set(CONTENTS)
    assert files.read(tmp_path / "kubelet-client.crt").serial != serial
