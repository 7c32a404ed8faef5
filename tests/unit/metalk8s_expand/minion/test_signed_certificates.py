"""Test the certificates of a host with real files, and a CA that signs as Salt's x509 module does."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from metalk8s_expand.clients.host import certificates
from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.node import roles
from metalk8s_expand.errors import DeployError, UnreachableError
from metalk8s_expand.minion import signed_certificates
from tests.fakes.certificate_authority import CertificateAuthority

NODE = signing_policies.Subject("w-1", "10.0.0.3", (roles.NODE,))
CONTENTS = signing_policies.contents(NODE)
CLIENT, SERVER = "kubelet-client", "kubelet-server"


class Host:
    """The directory of the certificates of a worker, and the CA that signs them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = CertificateAuthority(directory)
        self.policies = signing_policies.policies(NODE)
        self.paths = {purpose: str(directory / purpose) for purpose in CONTENTS}
        self.now = certificates.read(directory / "ca.crt").not_before + 60
        self.requests: list[Mapping[str, str]] = []

    def sign(self, public_keys: Mapping[str, str]) -> Mapping[str, str]:
        self.requests.append(public_keys)

        def sign_one(policy: str, public_key: str) -> Any:
            return self.authority.sign(self.policies[policy], public_key)

        answer = signed_certificates.sign_all("w-1", public_keys, sign_one)
        return signed_certificates.answer_of("boot", {"boot": answer})

    def needed(self, contents: Mapping[str, Any] = CONTENTS, days: float = 30) -> dict[str, str]:
        return signed_certificates.needed(
            self.paths, contents, self.now, days, directory=str(self.directory)
        )

    def renew(self, sign: signed_certificates.Sign | None = None) -> dict[str, str]:
        return signed_certificates.renew(self.paths, self.needed(), sign or self.sign)

    def key(self, purpose: str) -> Path:
        return self.directory / f"{purpose}.key"

    def certificate(self, purpose: str) -> Path:
        return self.directory / f"{purpose}.crt"

    def files(self) -> dict[str, bytes]:
        """Return the content of the files of the node by their names."""
        return {
            path.name: path.read_bytes()
            for path in self.directory.iterdir()
            if path.is_file() and not path.name.startswith("ca.")
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "pki")


@pytest.fixture
def signed(host: Host) -> Host:
    """A host that has all its certificates."""
    host.renew()
    host.requests.clear()
    return host


def test_blank_host_gets_all_certificates_by_one_request(host: Host) -> None:
    assert host.renew() == dict.fromkeys(CONTENTS, "it does not exist")
    assert len(host.requests) == 1
    for purpose, wanted in CONTENTS.items():
        found = certificates.read(host.certificate(purpose))
        assert certificates.key_fits(host.key(purpose), found)
        assert list(found.names) == wanted["names"]
    assert host.needed() == {}


def test_only_public_keys_leave_the_host(host: Host) -> None:
    host.renew()
    [request] = host.requests
    assert set(request) == set(CONTENTS)
    for text in request.values():
        assert text.startswith("-----BEGIN PUBLIC KEY-----")
        assert "PRIVATE" not in text


def test_modes_of_keys_and_certificates(host: Host) -> None:
    host.renew()
    for purpose in CONTENTS:
        assert stat.S_IMODE(host.key(purpose).stat().st_mode) == 0o600
        assert stat.S_IMODE(host.certificate(purpose).stat().st_mode) == 0o644


def test_second_run_requests_and_writes_nothing(signed: Host) -> None:
    before = signed.files()
    assert signed.needed() == {}
    assert signed.files() == before


def replaced_key(host: Host) -> None:
    host.key(SERVER).write_text(certificates.new_key())


def stranger(host: Host) -> None:
    (host.directory / "ca.crt").write_bytes(
        CertificateAuthority(host.directory.parent / "other").certificate("ca").read_bytes()
    )


REASONS: dict[str, tuple[Callable[[Host], object], str]] = {
    "missing": (lambda host: host.certificate(SERVER).unlink(), "it does not exist"),
    "empty": (lambda host: host.certificate(SERVER).write_text(""), "it cannot be read"),
    "binary": (lambda host: host.certificate(SERVER).write_bytes(b"\xff\0\x80"), "cannot be read"),
    "key missing": (lambda host: host.key(SERVER).unlink(), "its key does not exist"),
    "key empty": (lambda host: host.key(SERVER).write_text(""), "its key cannot be read"),
    "key binary": (lambda host: host.key(SERVER).write_bytes(b"\xff\0\x80"), "its key cannot be"),
    "other key": (replaced_key, "its key is another one"),
}


@pytest.mark.parametrize("name", REASONS)
def test_damaged_file_is_replaced_and_others_stay(signed: Host, name: str) -> None:
    damage, why = REASONS[name]
    before = signed.files()
    damage(signed)
    assert list(signed.needed()) == [SERVER]
    assert why in signed.needed()[SERVER]
    signed.renew()
    assert list(signed.requests[0]) == [SERVER]
    assert signed.needed() == {}
    found = signed.files()
    assert stat.S_IMODE(signed.key(SERVER).stat().st_mode) == 0o600
    assert {name: found[name] for name in found if CLIENT in name} == {
        name: before[name] for name in before if CLIENT in name
    }
    assert set(found) == set(before), "no temporary file stays"


def test_certificates_of_another_authority_are_replaced(signed: Host) -> None:
    stranger(signed)
    assert signed.needed() == dict.fromkeys(CONTENTS, "another CA signed it")


def test_missing_authority_is_no_reason(signed: Host) -> None:
    (signed.directory / "ca.crt").unlink()
    assert signed.needed() == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"names": ["DNS:w-1", "IP:10.0.0.9"]}, "its names are DNS:w-1, IP:10.0.0.3, not"),
        ({"subject": "CN=x"}, "its subject is O=system:nodes,CN=system:node:w-1, not CN=x"),
    ],
    ids=["names", "subject"],
)
def test_changed_declaration_is_a_reason(signed: Host, changes: dict[str, Any], why: str) -> None:
    contents = {**CONTENTS, SERVER: {**CONTENTS[SERVER], **changes}}
    assert list(signed.needed(contents)) == [SERVER]
    assert why in signed.needed(contents)[SERVER]


def test_end_of_validity_is_a_reason_and_keeps_the_keys(signed: Host) -> None:
    keys = {purpose: signed.key(purpose).read_text() for purpose in CONTENTS}
    serials = {certificates.read(signed.certificate(purpose)).serial for purpose in CONTENTS}
    signed.now += 336 * 86_400
    assert signed.needed(days=20) == {}
    assert signed.needed() == dict.fromkeys(CONTENTS, "less than 30 days are left")
    signed.renew()
    assert {purpose: signed.key(purpose).read_text() for purpose in CONTENTS} == keys
    assert not serials & {
        certificates.read(signed.certificate(purpose)).serial for purpose in CONTENTS
    }


def test_readable_key_is_kept_and_its_mode_corrected(signed: Host) -> None:
    """An RSA key that an operator has put there stays, too."""
    key = signed.authority.rsa_key()
    signed.key(SERVER).write_text(key)
    signed.key(SERVER).chmod(0o644)
    assert signed.renew() == {SERVER: "its key is another one"}
    assert signed.key(SERVER).read_text() == key
    assert stat.S_IMODE(signed.key(SERVER).stat().st_mode) == 0o600


def test_key_with_passphrase_is_replaced(signed: Host) -> None:
    parsed = serialization.load_pem_private_key(signed.key(SERVER).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"x")
    signed.key(SERVER).write_bytes(
        parsed.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    assert "its key cannot be read" in signed.needed()[SERVER]
    signed.renew()
    assert signed.needed() == {}


class TestAnswers:
    """Wrong answers of the CA's minion: the host writes nothing."""

    def refused(self, host: Host, sign: signed_certificates.Sign) -> DeployError:
        host.key(SERVER).parent.mkdir(exist_ok=True)
        before = host.files()
        with pytest.raises(DeployError) as error:
            host.renew(sign)
        assert host.files() == before
        assert error.value.log
        return error.value

    def test_refused_certificate_writes_nothing(self, host: Host) -> None:
        del host.policies["w-1/kubelet-server"]

        def sign(public_keys: Mapping[str, str]) -> Mapping[str, str]:
            def sign_one(policy: str, public_key: str) -> Any:
                if policy not in host.policies:
                    return {"data": None, "errors": ["not permitted"]}
                return host.authority.sign(host.policies[policy], public_key)

            answer = signed_certificates.sign_all("w-1", public_keys, sign_one)
            assert set(answer["signed"]) == {CLIENT}
            return signed_certificates.answer_of("boot", {"boot": answer})

        error = self.refused(host, sign)
        assert list(error.problems) == ["kubelet-server: not permitted"]
        assert "the CA's minion boot refuses certificates" in error.message
        assert "declaration" in str(error.hint)

    def test_missing_certificate_writes_nothing(self, host: Host) -> None:
        error = self.refused(host, lambda keys: {CLIENT: host.sign(keys)[CLIENT]})
        assert "no certificate for the key of kubelet-server" in error.message

    def test_certificate_of_another_key_writes_nothing(self, host: Host) -> None:
        def swapped(keys: Mapping[str, str]) -> Mapping[str, str]:
            found = host.sign(keys)
            return {CLIENT: found[SERVER], SERVER: found[CLIENT]}

        assert "no certificate for the key of" in self.refused(host, swapped).message

    @pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx"])
    def test_answer_that_is_no_certificate_writes_nothing(self, host: Host, text: str) -> None:
        self.refused(host, lambda keys: {**host.sign(keys), SERVER: text})

    def test_wrong_answer_keeps_old_certificates(self, signed: Host) -> None:
        signed.certificate(SERVER).unlink()
        self.refused(signed, lambda keys: {})

    @pytest.mark.parametrize("answers", [None, {}, []])
    def test_silent_minion_is_unreachable(self, answers: Any) -> None:
        with pytest.raises(UnreachableError, match="boot has not answered") as error:
            signed_certificates.answer_of("boot", answers)
        assert "metalk8s_expand_ca.sign" in str(error.value.hint)
        assert "peer" in str(error.value.hint)
        assert error.value.log

    @pytest.mark.parametrize(
        "answer", ["'metalk8s_expand_ca.sign' is not available.", None, False, {}, {"refused": {}}]
    )
    def test_unexpected_answer_is_an_error_with_its_text(self, answer: Any) -> None:
        with pytest.raises(DeployError, match="the CA's minion boot answers: ") as error:
            signed_certificates.answer_of("boot", {"boot": answer})
        assert str(answer)[:20] in error.value.message
        assert "saltutil.sync_all" in str(error.value.hint)

    def test_answer_of_another_minion_does_not_count(self) -> None:
        with pytest.raises(DeployError, match="boot answers: None"):
            signed_certificates.answer_of("boot", {"w-9": {"signed": {}, "refused": {}}})

    def test_control_characters_of_an_answer_are_not_printed(self) -> None:
        with pytest.raises(DeployError) as error:
            signed_certificates.answer_of("boot", {"boot": "\x1b[2Jgone"})
        assert "\x1b" not in error.value.message


def test_authority_signs_by_the_requester_policies_only() -> None:
    asked: list[str] = []

    def sign_one(policy: str, public_key: str) -> Any:
        asked.append(policy)
        return {"data": None, "errors": []}

    answer = signed_certificates.sign_all("w-1", {"admin": "x", "../w-2/admin": "y"}, sign_one)
    assert asked == ["w-1/admin", "w-1/../w-2/admin"]
    assert answer["signed"] == {}
    assert set(answer["refused"].values()) == {"no certificate was made"}


def test_signed_certificate_is_pem(host: Host) -> None:
    host.renew()
    text = host.certificate(CLIENT).read_text()
    assert x509.load_pem_x509_certificate(text.encode()).serial_number
