"""Every difference from the wanted certificate is a reason to sign, and a certificate as wanted is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metalk8s_expand.domain.certificates.requests import DAY_S, PresentCertificate, reason_to_sign
from metalk8s_expand.domain.certificates.signing_policies import Subject, contents
from metalk8s_expand.domain.node import roles

NOW = 1_000_000.0
NODE = Subject("cp-1", "10.0.0.2", (roles.MASTER, roles.ETCD), ("kubernetes",), ("10.96.0.1",))
WANTED = contents(NODE)["apiserver"]
GOOD = PresentCertificate(
    subject="CN=kube-apiserver",
    names=tuple(WANTED["names"]),
    not_after=NOW + 31 * DAY_S,
    authority_key="ab12",
)


def reason(
    found: PresentCertificate, wanted: dict[str, Any] = WANTED, authority: str = "ab12"
) -> str:
    return reason_to_sign(found, wanted, authority, NOW, 30)


def test_wanted_certificate_needs_no_signature() -> None:
    assert reason(GOOD) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (PresentCertificate("it does not exist"), "it does not exist"),
        (replace(GOOD, error="its key is another one"), "its key is another one"),
        (replace(GOOD, not_after=NOW + 30 * DAY_S - 1), "less than 30 days are left"),
        (replace(GOOD, not_after=NOW - 1), "less than 30 days are left"),
        (replace(GOOD, subject="CN=admin"), "its subject is CN=admin, not CN=kube-apiserver"),
        (replace(GOOD, subject="O=x,CN=kube-apiserver"), "its subject is O=x,CN=kube-apiserver"),
        (replace(GOOD, names=GOOD.names[1:]), "its names are"),
        (replace(GOOD, names=(*GOOD.names, "DNS:x")), "its names are"),
        (replace(GOOD, names=()), "its names are none, not DNS:cp-1"),
        (replace(GOOD, authority_key="cd34"), "another CA signed it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_difference_is_a_reason(found: PresentCertificate, why: str) -> None:
    assert why in reason(found)


def test_days_may_be_a_fraction() -> None:
    found = replace(GOOD, not_after=NOW + DAY_S / 2)
    assert reason_to_sign(found, WANTED, "ab12", NOW, 0.4) == ""
    assert reason_to_sign(found, WANTED, "ab12", NOW, 0.6) == "less than 0.6 days are left"


def test_order_of_names_and_attributes_does_not_matter() -> None:
    kubelet = contents(NODE)["kubelet-client"]
    assert kubelet["subject"] == "O=system:nodes,CN=system:node:cp-1"
    found = replace(GOOD, subject="CN=system:node:cp-1,O=system:nodes", names=())
    assert reason(found, kubelet) == ""
    assert reason(replace(GOOD, names=tuple(reversed(GOOD.names)))) == ""


@pytest.mark.parametrize(
    ("authority", "signer"),
    [("", "ab12"), ("ab12", "")],
    ids=["no CA on the node", "no identifier"],
)
def test_unknown_authority_is_no_reason(authority: str, signer: str) -> None:
    assert reason(replace(GOOD, authority_key=signer), authority=authority) == ""
