"""Secrets of every form are left out of log lines, and the rest of a line stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.parsing.secret_texts import KEY_LEFT_OUT, LEFT_OUT, without_secrets

PEM = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA7" * 3, "cXdlcnR5dWlvcA==", "-----END RSA PRIVATE KEY-----"]  # fmt: skip
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl"
# A value that no rule and no other text of a line holds.
SECRETS = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="[]"), min_size=1, max_size=20
).map(lambda text: f"Qx7{text}9zK")
NAMES = st.sampled_from(
    ["password", "PASSWORD", "db_password", "token", "id-token", "refresh-token", "secret", "clientSecret",
     "AWS_SECRET_ACCESS_KEY", "client-key-data", "client-certificate-data", "certificate-authority-data",
     "api_key", "apiKey", "passphrase", "tls.key", "credentials"]
)  # fmt: skip
PREFIXES = st.sampled_from(
    ["", "  ", "2026-11-29T09:00:00+0000 w-1 kubelet[12]: ", "- ", "{", "x=1 "]
)


def cleaned(text: str) -> str:
    return "\n".join(without_secrets(text.split("\n")))


@given(PREFIXES, NAMES, SECRETS)
def test_value_of_secret_name_is_left_out_in_every_notation(
    prefix: str, name: str, secret: str
) -> None:
    document = json.dumps({name: secret, "other": 1}, ensure_ascii=False)
    for text in (
        f"{name}: {secret}",
        f"{name}: {secret} and more of it {secret}",
        f"{name}={secret}",
        f"--{name.replace('_', '-').replace('tls.key', 'tls-private-key')}={secret}",
        document,
        json.dumps({"log": document}, ensure_ascii=False),
        json.dumps({"log": json.dumps({"log": document}, ensure_ascii=False)}, ensure_ascii=False),
        repr({name: secret}),
    ):
        assert "Qx7" not in cleaned(prefix + text), text
        assert "9zK" not in cleaned(prefix + text), text


@given(PREFIXES, st.sampled_from(["Authorization", "authorization", "Proxy-Authorization", "Cookie"]), SECRETS)  # fmt: skip
def test_header_is_left_out_to_end_of_line(prefix: str, header: str, secret: str) -> None:
    for value in (f"Bearer {secret}", f'Digest username="x", response="{secret}"', secret):
        assert "Qx7" not in cleaned(f"{prefix}{header}: {value}")
        assert "9zK" not in cleaned(f'{prefix}"{header}":["{value}"]')


@given(SECRETS)
def test_credentials_are_left_out_without_name(secret: str) -> None:
    assert "Qx7" not in cleaned(f"sent bearer {secret} to the API")
    if not set(secret) & set("/:@"):
        assert "Qx7" not in cleaned(f"proxy http://ops:{secret}@proxy:3128/ refused")


@given(st.text())
def test_second_pass_changes_nothing(text: str) -> None:
    once = without_secrets(text.split("\n"))
    assert without_secrets(once) == once


@given(
    st.lists(
        st.sampled_from([*PEM[1:3], "an ordinary line", "password: x", f"a {JWT}"]), max_size=12
    )
)
def test_no_line_of_key_or_token_stays(lines: list[str]) -> None:
    text = "\n".join(without_secrets([*PEM[:1], *lines, *PEM[1:]]))
    assert PEM[2] not in text
    assert "PRIVATE KEY-----" not in text
    assert JWT[:20] not in text


@pytest.mark.parametrize("prefix", ["", "    ", "Nov 29 09:00:00 w-1 kubelet[1]: "])
def test_private_key_becomes_one_line(prefix: str) -> None:
    lines = ["before", *(prefix + line for line in PEM), "after"]
    assert without_secrets(lines) == ["before", prefix + KEY_LEFT_OUT, "after"]


def test_text_that_begins_within_key_shows_no_rest_of_it() -> None:
    assert without_secrets([*PEM[1:], "after"]) == [KEY_LEFT_OUT, "after"]


def test_text_that_ends_within_key_shows_no_part_of_it() -> None:
    assert without_secrets(["before", *PEM[:2]]) == ["before", KEY_LEFT_OUT]


def test_key_in_one_line_is_left_out() -> None:
    line = "key: \\n".join(["x ", *PEM, " y"])
    assert PEM[1] not in cleaned(line)
    assert cleaned("\\n".join(PEM)) == KEY_LEFT_OUT


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"got {JWT} from the API", f"got {LEFT_OUT} from the API"),
        ("kubeadm join --token abcdef.0123456789abcdef", f"kubeadm join --token {LEFT_OUT}"),
        ("uses abcdef.0123456789abcdef", f"uses {LEFT_OUT}"),
        ("http://ops:s3cret@proxy:3128", f"http://ops:{LEFT_OUT}@proxy:3128"),
        ('{"password":"a\\"b","user":"ops"}', f'{{"password":{LEFT_OUT},"user":"ops"}}'),
    ],
)
def test_rest_of_line_stays(line: str, shown: str) -> None:
    assert cleaned(line) == shown


@pytest.mark.parametrize(
    "line",
    [
        "open /etc/kubernetes/pki/sa.key: no such file or directory",
        'E1129 pod_workers.go:1 "Error syncing pod" err="CrashLoopBackOff" pod="kube-system/etcd-cp-1"',
        "image sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "/var/lib/kubelet/pods/1b4e28ba-2fa1-11d2-883f-0016d3cca427/volumes/kubernetes.io~projected",
        'MountVolume.SetUp failed for volume "kube-api-access": secretName default not found',
        "Unable to authenticate the request: x509: certificate signed by unknown authority",
        "[ERROR   ] Master has rejected our public key",
    ],
)
def test_ordinary_line_stays(line: str) -> None:
    assert cleaned(line) == line
