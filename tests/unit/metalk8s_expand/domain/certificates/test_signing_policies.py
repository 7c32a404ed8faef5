"""Salt's own x509_v2 creates exactly the certificate of the policy for any request."""

from __future__ import annotations

import copy
import datetime
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import salt.utils.x509 as x509util
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from salt.modules import x509_v2

from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.node import roles
from tests.fakes.certificate_authority import CertificateAuthority

SERVICE = ("kubernetes", "kubernetes.default.svc.cluster.local")
BOOTSTRAP = signing_policies.Subject(
    "bootstrap", "10.0.0.1", (roles.BOOTSTRAP, roles.MASTER, roles.ETCD), SERVICE, ("10.96.0.1",)
)
MASTER = signing_policies.Subject(
    "cp-1", "10.0.0.2", (roles.MASTER, roles.ETCD), SERVICE, ("10.96.0.1",)
)
WORKER = signing_policies.Subject("w-1", "10.0.0.3", (roles.NODE,), SERVICE, ("10.96.0.1",))
SUBJECTS = (BOOTSTRAP, MASTER, WORKER)

# Arguments that a policy leaves to the requester: its public key. The others can only make the
# signing fail.
HARMLESS = {
    "private_key",
    "private_key_passphrase",
    "public_key",
    "signing_private_key_passphrase",
    "skip_load_signing_private_key",
}

KINDS = {
    signing_policies.CLIENT: {ExtendedKeyUsageOID.CLIENT_AUTH},
    signing_policies.SERVER: {ExtendedKeyUsageOID.SERVER_AUTH},
}
KINDS[signing_policies.BOTH] = KINDS[signing_policies.CLIENT] | KINDS[signing_policies.SERVER]


@dataclass
class Case:
    subject: signing_policies.Subject
    purpose: str

    @property
    def policy(self) -> dict[str, Any]:
        return signing_policies.policies(self.subject)[
            signing_policies.policy_name(self.subject.name, self.purpose)
        ]

    @property
    def wanted(self) -> signing_policies.Purpose:
        return signing_policies.purposes(self.subject.roles)[self.purpose]


CASES = [
    Case(subject, purpose)
    for subject in SUBJECTS
    for purpose in signing_policies.purposes(subject.roles)
]


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the keys and certificates of the three CAs in the layout of the role ``ca``."""
    base = tmp_path_factory.mktemp("pki")
    CertificateAuthority(base)
    return base


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def own_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def signed(
    case: Case, authorities: Path, own_key: ec.EllipticCurvePrivateKey, **hostile: Any
) -> x509.Certificate:
    """Sign a request as ``x509.sign_remote_certificate`` does after the minion's name matched."""
    policy = copy.deepcopy(case.policy)
    policy.pop("minions")
    for key in ("signing_private_key", "signing_cert"):
        policy[key] = policy[key].replace(signing_policies.PKI, str(authorities))
    public_key = own_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    kwargs = x509util.merge_signing_policy(policy, {"public_key": public_key, **hostile})
    found: x509.Certificate = x509_v2._create_certificate_local(**kwargs)[0]
    return found


def csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request for everything that is forbidden."""
    usage = x509.KeyUsage(True, True, True, True, True, True, True, False, False)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("kubernetes")]), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def names_of(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {f"{type(item).__name__}:{item.value}" for item in found}


def wanted_names(case: Case) -> set[str]:
    """Return the expected names by purpose, independently of the code of the policy."""
    subject = case.subject
    dns = {"kubelet-server": {subject.name}, "apiserver": {subject.name, "localhost", *SERVICE}}
    ips = {
        "kubelet-server": {subject.address},
        "apiserver": {subject.address, "127.0.0.1", "10.96.0.1"},
    }
    for purpose in ("etcd-server", "etcd-peer"):
        dns[purpose], ips[purpose] = {subject.name, "localhost"}, {subject.address, "127.0.0.1"}
    found = {f"DNSName:{name}" for name in dns.get(case.purpose, set())}
    return found | {f"IPAddress:{address}" for address in ips.get(case.purpose, set())}


def assert_as_the_policy_says(
    case: Case, certificate: x509.Certificate, own_key: ec.EllipticCurvePrivateKey
) -> None:
    wanted = case.wanted
    subject = {attribute.rfc4514_string() for attribute in certificate.subject}
    assert subject == set(wanted.subject.format(name=case.subject.name).split(","))
    assert certificate.issuer.rfc4514_string() == f"CN={wanted.ca}"
    assert certificate.public_key() == own_key.public_key()
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert names_of(certificate) == wanted_names(case)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert abs(lifetime - datetime.timedelta(days=365)) < datetime.timedelta(minutes=1)
    assert (
        abs(certificate.not_valid_before_utc.timestamp() - datetime.datetime.now().timestamp()) < 60
    )
    extensions = {item.oid: item for item in certificate.extensions}
    assert extensions[ExtensionOID.BASIC_CONSTRAINTS].critical
    assert extensions[ExtensionOID.BASIC_CONSTRAINTS].value.ca is False
    usage = extensions[ExtensionOID.KEY_USAGE].value
    granted = {name for name in USAGES if getattr(usage, name)}
    assert granted == {"digital_signature", "key_encipherment"}
    assert set(extensions[ExtensionOID.EXTENDED_KEY_USAGE].value) == KINDS[wanted.usage]
    optional = {ExtensionOID.SUBJECT_ALTERNATIVE_NAME} if wanted_names(case) else set()
    assert set(extensions) == optional | {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }


USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign",
)  # fmt: skip

HOSTILE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "another subject": {"subject": "O=system:masters,CN=kubernetes-admin"},
    "another subject as a mapping": {"subject": {"O": "system:masters", "CN": "kubernetes-admin"}},
    "another subject as a list": {"subject": ["O=system:masters"]},
    "parts of a subject": {"CN": "kubernetes-admin", "O": "system:masters", "OU": "x", "UID": "0"},
    "parts by their long names": {"commonName": "kubernetes-admin", "organizationName": "system:masters"},
    "names": {"subjectAltName": ["DNS:kubernetes", "IP:10.96.0.1"]},
    "names by their long name": {"X509v3 Subject Alternative Name": ["DNS:kubernetes"]},
    "an authority": {"basicConstraints": "critical, CA:TRUE", "keyUsage": "critical, keyCertSign, cRLSign"},
    "an authority by long names": {"X509v3 Basic Constraints": "CA:TRUE", "X509v3 Key Usage": "keyCertSign"},
    "another use": {"extendedKeyUsage": "serverAuth, clientAuth, codeSigning"},
    "a long life": {"days_valid": 36500, "not_after": "2099-01-01 00:00:00", "not_before": "2001-01-01 00:00:00"},
    "a serial number": {"serial_number": "01"},
    "a weak digest": {"digest": "sha1"},
    "another issuer": {"signing_cert": "/nowhere.crt", "signing_private_key": "/nowhere.key"},
    "further extensions": {
        "authorityInfoAccess": "OCSP;URI:http://x/", "certificatePolicies": "1.2.3.4", "noCheck": True,
        "crlDistributionPoints": "URI:http://x/", "inhibitAnyPolicy": 0, "issuerAltName": "DNS:x",
        "nameConstraints": "permitted;DNS:x", "nsCertType": "sslCA", "nsComment": "x",
        "policyConstraints": "requireExplicitPolicy:3", "tlsfeature": "status_request",
    },
    "key identifiers": {"subjectKeyIdentifier": "DE:AD", "authorityKeyIdentifier": "issuer:always"},
    "an unknown argument": {"path": "/nowhere", "ca_server": "x", "signing_policy": "bootstrap/admin"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.subject.name}/{case.purpose}")
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_requester_arguments_do_not_change_certificate(
    case: Case, hostile: dict[str, Any], authorities: Path, own_key: ec.EllipticCurvePrivateKey
) -> None:
    assert_as_the_policy_says(
        case, signed(case, authorities, own_key, **copy.deepcopy(hostile)), own_key
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.subject.name}/{case.purpose}")
def test_csr_and_its_extensions_are_ignored(
    case: Case, authorities: Path, own_key: ec.EllipticCurvePrivateKey
) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert_as_the_policy_says(case, signed(case, authorities, own_key, csr=csr(other)), own_key)


def test_copypath_of_requester_writes_no_file(
    tmp_path: Path, authorities: Path, own_key: ec.EllipticCurvePrivateKey
) -> None:
    signed(CASES[0], authorities, own_key, copypath=str(tmp_path), prepend_cn=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.subject.name}/{case.purpose}")
def test_policy_sets_every_argument_of_salt(case: Case) -> None:
    """A Salt version with a new argument or extension fails this test."""
    arguments = {
        *inspect.signature(x509util.build_crt).parameters,
        *inspect.signature(x509_v2._create_certificate_local).parameters,
    }
    assert {*arguments, *x509util.CERT_EXTS} - {"kwargs"} - HARMLESS - set(case.policy) == set()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_policies_belong_to_one_node(subject: signing_policies.Subject) -> None:
    found = signing_policies.policies(subject)
    assert {policy["minions"] for policy in found.values()} == {subject.name}
    assert all(name.startswith(f"{subject.name}/") for name in found)


@pytest.mark.parametrize(
    ("node_roles", "wanted"),
    [
        ((roles.NODE,), {"kubelet-client", "kubelet-server"}),
        ((roles.INFRA,), {"kubelet-client", "kubelet-server"}),
        ((), {"kubelet-client", "kubelet-server"}),
        (
            (roles.ETCD,),
            {
                "kubelet-client",
                "kubelet-server",
                "etcd-server",
                "etcd-peer",
                "etcd-healthcheck-client",
            },
        ),
    ],
)
def test_purposes_of_roles(node_roles: tuple[str, ...], wanted: set[str]) -> None:
    assert set(signing_policies.purposes(node_roles)) == wanted


@pytest.mark.parametrize("subject", (MASTER, WORKER), ids=lambda subject: subject.name)
def test_only_bootstrap_node_is_an_administrator(subject: signing_policies.Subject) -> None:
    assert [
        name
        for name, policy in signing_policies.policies(subject).items()
        if "system:masters" in policy["subject"]
    ] == []
    assert "O=system:masters,CN=kubernetes-admin" in {
        p["subject"] for p in signing_policies.policies(BOOTSTRAP).values()
    }


@pytest.mark.parametrize("subject", (MASTER, WORKER), ids=lambda subject: subject.name)
def test_only_bootstrap_node_has_salt_master_certificate(subject: signing_policies.Subject) -> None:
    """The certificate has a user of its own without a group; a role names the user."""
    assert [
        name
        for name, policy in signing_policies.policies(subject).items()
        if "metalk8s-expand" in policy["subject"]
    ] == []
    assert (
        signing_policies.policies(BOOTSTRAP)["bootstrap/metalk8s-expand"]["subject"]
        == "CN=metalk8s-expand"
    )


def test_worker_gets_only_certificates_of_its_own_node() -> None:
    found = signing_policies.policies(WORKER).values()
    assert {policy["subject"] for policy in found} == {"O=system:nodes,CN=system:node:w-1"}
    assert {policy["signing_cert"] for policy in found} == {"/etc/kubernetes/pki/ca.crt"}


def test_validity_in_days_is_configurable() -> None:
    assert {policy["days_valid"] for policy in signing_policies.policies(WORKER, 30).values()} == {
        30
    }


def test_validity_in_fraction_of_a_day_is_honored(
    authorities: Path, own_key: ec.EllipticCurvePrivateKey
) -> None:
    """Salt accepts fractions of days."""
    policy = {**signing_policies.policies(WORKER, 10 / 1440)["w-1/kubelet-client"]}
    policy.pop("minions")
    policy |= {
        key: policy[key].replace(signing_policies.PKI, str(authorities))
        for key in ("signing_private_key", "signing_cert")
    }
    found = x509_v2._create_certificate_local(**policy, private_key=pem(own_key))[0]
    lifetime = found.not_valid_after_utc - found.not_valid_before_utc
    assert abs(lifetime - datetime.timedelta(minutes=10)) <= datetime.timedelta(seconds=1)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_every_purpose_has_its_own_path(subject: signing_policies.Subject) -> None:
    found = signing_policies.paths(subject.roles)
    assert set(found) == set(signing_policies.purposes(subject.roles))
    assert len(set(found.values())) == len(found)


def test_paths_of_certificates() -> None:
    assert (
        signing_policies.PATHS["etcd-healthcheck-client"]
        == "/etc/kubernetes/pki/etcd/healthcheck-client"
    )
    assert (
        signing_policies.PATHS["apiserver-etcd-client"]
        == "/etc/kubernetes/pki/apiserver-etcd-client"
    )
    assert set(signing_policies.PORTS) <= set(signing_policies.PATHS)
