"""Test the function that signs, with Salt's own x509_v2: only by the policies of its requester."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from salt.modules import x509_v2

from metalk8s_expand.clients.host import certificates
from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.node import roles
from tests import extension
from tests.fakes.certificate_authority import CertificateAuthority

MASTER = signing_policies.Subject("cp-1", "10.0.0.2", (roles.MASTER, roles.ETCD))
WORKER = signing_policies.Subject("w-1", "10.0.0.3", (roles.NODE,))
KEY = certificates.new_key()
PUBLIC_KEY = certificates.public_key_of(KEY)


class Minion:
    """The minion of the CAs: its module, its pillar and the calls of Salt's x509 module."""

    def __init__(self, authority: CertificateAuthority, module: Any) -> None:
        self.policies = {
            name: authority.localized(policy)
            for subject in (MASTER, WORKER)
            for name, policy in signing_policies.policies(subject).items()
        }
        self.calls: list[tuple[Any, ...]] = []
        self.module = module
        module.__salt__ = {"x509.sign_remote_certificate": self.sign_remote_certificate}

    def sign_remote_certificate(self, policy: str, kwargs: Any, **more: Any) -> Any:
        self.calls.append((policy, dict(kwargs), more))
        return x509_v2.sign_remote_certificate(policy, kwargs, **more)

    def pillar(self, key: str, default: Any = None, **_: Any) -> Any:
        return self.policies if key == "x509_signing_policies" else default

    def sign(self, requester: str | None, *purposes: str, **kwargs: Any) -> Any:
        published = {"__pub_id": requester} if requester is not None else {}
        return self.module.sign(dict.fromkeys(purposes, PUBLIC_KEY), **published, **kwargs)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def minion(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Minion:
    module = extension.load("modules", "metalk8s_expand_ca")
    assert module.__virtual__() == "metalk8s_expand_ca"
    made = Minion(authority, module)
    functions = {
        "pillar.get": made.pillar,
        "config.get": lambda key, default=None, **_: default,
        "match.glob": lambda pattern, name: fnmatch.fnmatch(name, pattern),
    }
    monkeypatch.setattr(x509_v2, "__salt__", functions, raising=False)
    return made


@pytest.mark.parametrize("subject", [MASTER, WORKER], ids=lambda subject: subject.name)
def test_all_certificates_of_a_node_are_signed(
    minion: Minion, subject: signing_policies.Subject
) -> None:
    wanted = signing_policies.contents(subject)
    answer = minion.sign(subject.name, *wanted)
    assert answer["refused"] == {}
    assert set(answer["signed"]) == set(wanted)
    for purpose, text in answer["signed"].items():
        found = certificates.parse(text)
        assert found.public_key == certificates.der_of_public_key(PUBLIC_KEY)
        assert list(found.names) == wanted[purpose]["names"]
        assert found.issuer == f"CN={wanted[purpose]['authority']}"
        assert sorted(found.subject.split(",")) == sorted(wanted[purpose]["subject"].split(","))


def test_signature_gets_requester_and_public_key_only(minion: Minion) -> None:
    minion.sign("w-1", "kubelet-client", subject="O=system:masters", __pub_fun="x", copypath="/x")
    assert minion.calls == [("w-1/kubelet-client", {"public_key": PUBLIC_KEY}, {"__pub_id": "w-1"})]


@pytest.mark.parametrize("requester", [None, ""])
def test_missing_requester_is_refused(minion: Minion, requester: str | None) -> None:
    answer = minion.sign(requester, "kubelet-client", "w-1/kubelet-client", "cp-1/apiserver")
    assert answer["signed"] == {}
    assert set(answer["refused"]) == {"kubelet-client", "w-1/kubelet-client", "cp-1/apiserver"}
    assert all(more == {} for _, _, more in minion.calls)


def test_policy_with_an_empty_node_needs_a_requester(minion: Minion) -> None:
    """Salt's own check refuses the request if a policy of that name exists."""
    minion.policies["/kubelet-client"] = minion.policies["w-1/kubelet-client"]
    answer = minion.sign(None, "kubelet-client")
    assert answer["signed"] == {}
    assert "could not be identified" in answer["refused"]["kubelet-client"]


@pytest.mark.parametrize(
    "purpose",
    ["apiserver", "cp-1/apiserver", "../cp-1/apiserver", "", "/", "admin", "w-1/kubelet-client"],
)
def test_purpose_of_another_node_is_refused(minion: Minion, purpose: str) -> None:
    answer = minion.sign("w-1", purpose)
    assert answer["signed"] == {}
    assert "signing_policy must be specified" in answer["refused"][purpose]


def test_policy_of_another_node_is_refused_by_salt(minion: Minion) -> None:
    """The name of the policy has the requester's name, and the policy also names its minion."""
    minion.policies["w-9/kubelet-client"] = minion.policies["w-1/kubelet-client"]
    answer = minion.sign("w-9", "kubelet-client")
    assert answer["signed"] == {}
    assert "not permitted" in answer["refused"]["kubelet-client"]


def test_refused_purpose_does_not_prevent_the_remaining_ones(minion: Minion) -> None:
    answer = minion.sign("w-1", "apiserver", "kubelet-client")
    assert (set(answer["signed"]), set(answer["refused"])) == ({"kubelet-client"}, {"apiserver"})


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PUBLIC KEY-----\nx"])
def test_request_without_a_key_is_refused(minion: Minion, text: str) -> None:
    answer = minion.module.sign({"kubelet-client": text}, __pub_id="w-1")
    assert answer["signed"] == {}
    assert answer["refused"]["kubelet-client"]


def test_certificate_is_only_for_the_public_key(minion: Minion) -> None:
    """A request with a private key and a CSR in the place of the key gets no certificate for them."""
    hostile: Any = {"public_key": PUBLIC_KEY, "csr": "x", "private_key": KEY}
    answer = minion.module.sign({"kubelet-client": hostile}, __pub_id="w-1")
    assert answer["signed"] == {}


def test_answer_has_no_private_key_and_no_path(minion: Minion, authority: Any) -> None:
    text = str(minion.sign("cp-1", *signing_policies.contents(MASTER), "admin"))
    assert "PRIVATE" not in text
    assert str(authority.directory) not in text


def test_certificate_is_no_authority(minion: Minion) -> None:
    [text] = minion.sign("w-1", "kubelet-client")["signed"].values()
    parsed = x509.load_pem_x509_certificate(text.encode())
    assert not parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_authority_without_its_key_refuses(minion: Minion, tmp_path: Path) -> None:
    minion.policies["w-1/kubelet-client"]["signing_private_key"] = str(tmp_path / "absent.key")
    answer = minion.sign("w-1", "kubelet-client")
    assert answer["signed"] == {}
