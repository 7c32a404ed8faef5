"""Each scalar parser with values that it accepts and values that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from metalk8s_expand.domain.parsing import scalars

IN_KEYS = scalars.key_path("/keys")
ODD: list[Any] = [None, 1.5, [], {}, object(), b"x"]
GOOD: dict[Callable[[object], Any], dict[Any, Any]] = {
    scalars.boolean: {
        True: True,
        False: False,
        "true": True,
        "yes": True,
        "false": False,
        "no": False,
    },
    scalars.port: {1: 1, 65535: 65535},
    scalars.port_text: {"22": 22, "65535": 65535},
    scalars.node_name: {
        "a": "a",
        "w-1.example.com": "w-1.example.com",
        "1": "1",
        "a" * 63: "a" * 63,
    },
    scalars.host: {
        "10.0.0.1": "10.0.0.1",
        "host.Example.com": "host.Example.com",
        "fd00::1": "fd00::1",
        "FD00:0::0001": "fd00::1",
        "::ffff:10.0.0.1": "10.0.0.1",
        "w1": "w1",
    },
    scalars.address: {
        "10.0.0.1": "10.0.0.1",
        "fd00:0::0001": "fd00::1",
        "::ffff:10.0.0.1": "10.0.0.1",
    },
    scalars.cidr: {"10.0.0.0/8": "10.0.0.0/8", "FD00:0::/64": "fd00::/64"},
    scalars.user: {"root": "root", "_apt": "_apt", "a-b_c": "a-b_c"},
    scalars.version: {"2.0.0-dev": "2.0.0-dev", "1": "1"},
    scalars.text: {"x": "x"},
    scalars.absolute_path: {"/etc/metalk8s/pki": "/etc/metalk8s/pki"},
    IN_KEYS: {"/keys/a": "/keys/a", "/keys/b/c": "/keys/b/c"},
    scalars.label_key: {"a": "a", "example.com/A_b.c": "example.com/A_b.c"},
    scalars.label_value: {"": "", "A_b.c-1": "A_b.c-1"},
    scalars.host_key: {f"ssh-rsa {'A' * 20}== root@host": f"ssh-rsa {'A' * 20}=="},
}
BAD: dict[Callable[[object], Any], list[Any]] = {
    scalars.boolean: ["maybe", "", 0, 1, "True", "off"],
    scalars.port: [0, 65536, -1, "22", True, 22.0],
    scalars.port_text: ["0", "65536", "", "a", "２２", 22, "022222"],
    scalars.node_name: ["", "A", "a_b", "-a", "a-", "a..b", "a" * 64, "a\n", 1],
    scalars.host: [
        "",
        " ",
        "a b",
        "-a",
        "user@host",
        "host:22",
        "300.1.1.1",
        "1",
        7,
        "h" * 254,
        "fe80::1%eth0",
        "[fd00::1]",
    ],
    scalars.address: [
        "",
        "host",
        "10.0.0.1/24",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "169.254.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "ff02::1",
        "[fd00::1]",
        "10.0.0.1,fd00::1",
        ["10.0.0.1", "fd00::1"],
        167772161,
        True,
    ],
    scalars.cidr: [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "x",
        "",
        "fd00::1/64",
        "10.96.0.0/12,fd00::/112",
        ["10.96.0.0/12", "fd00::/112"],
    ],
    scalars.user: ["", "Root", "-l", "a b", "a" * 33],
    scalars.version: ["", "-1", "1-", "a b", 2.0, "v" * 64],
    scalars.text: ["", "  ", 3],
    scalars.absolute_path: ["", "/", "a", "/a/../b", "/a//b", "/a/", "//a", "/a b", "/a;b"],
    IN_KEYS: ["/keys", "/keysx/a", "/keys/../etc/shadow", "/etc/shadow"],
    scalars.label_key: ["", "/a", "a/", "a b", "A.com/a", "a/b/c", "x" * 64],
    scalars.label_value: ["a b", "-a", "a" * 64, True, 1],
    scalars.host_key: ["", "ssh-ed25519", "AAAA", "ssh-foo AAAAAAAAAAAAAAAAAAAA"],
}


@pytest.mark.parametrize("parse", [scalars.address, scalars.cidr])
def test_dual_stack_is_refused_with_its_reason(parse: Callable[[object], Any]) -> None:
    for value in (["10.0.0.0", "fd00::"], "10.0.0.0/8,fd00::/64"):
        with pytest.raises(scalars.Invalid) as caught:
            parse(value)
        assert "dual stack is not supported" in caught.value.remedy


@pytest.mark.parametrize("plain", ["010", "22:22", "1.10", "1_0", "0x10", "1.0e+3"])
@pytest.mark.parametrize(
    "parse", [scalars.version, scalars.node_name, scalars.host, scalars.address, scalars.user,
              scalars.label_key, scalars.label_value, scalars.text],
)  # fmt: skip
def test_plain_text_that_yaml_reads_as_number_is_named(parse: Any, plain: str) -> None:
    value = yaml.safe_load(plain)
    with pytest.raises(scalars.Invalid) as caught:
        parse(value)
    assert caught.value.message.startswith("is a number to YAML, not ")
    assert caught.value.remedy.startswith("write it in quotes: YAML reads 010 as 8")


@pytest.mark.parametrize(
    ("plain", "kind"), [("on", "true or false"), ("no", "true or false"), ("2026-01-31", "a date")]
)
def test_plain_text_that_yaml_reads_as_other_type_is_named(plain: str, kind: str) -> None:
    with pytest.raises(scalars.Invalid, match="to YAML, not a node name") as caught:
        scalars.node_name(yaml.safe_load(plain))
    assert kind in caught.value.message
    assert caught.value.remedy.startswith("write it in quotes")


@pytest.mark.parametrize("quoted", ["010", "1.10", "1e3"])
def test_quoted_text_is_itself(quoted: str) -> None:
    assert scalars.version(yaml.safe_load(f"'{quoted}'")) == quoted


def test_every_parser_has_good_and_bad_values() -> None:
    assert set(GOOD) == set(BAD)


@pytest.mark.parametrize(
    ("parse", "value", "wanted"), [(p, v, w) for p, rows in GOOD.items() for v, w in rows.items()]
)
def test_good_value_is_parsed(parse: Callable[[object], Any], value: Any, wanted: Any) -> None:
    assert parse(value) == wanted


@pytest.mark.parametrize(
    ("parse", "value"), [(p, v) for p, rows in BAD.items() for v in rows + ODD]
)
def test_bad_value_is_refused_with_remedy(parse: Callable[[object], Any], value: Any) -> None:
    with pytest.raises(scalars.Invalid) as caught:
        parse(value)
    assert caught.value.message
    assert caught.value.remedy
