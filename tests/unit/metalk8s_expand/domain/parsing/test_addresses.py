"""Addresses of both families: text, ``host:port``, URLs and comparison, and who builds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.parsing import addresses
from metalk8s_expand.remote import host_facts

LIBRARY = Path(addresses.__file__).resolve().parents[2]
SALT = Path(__file__).resolve().parents[5] / "salt"

# Given, canonical, with the port 2380.
HOSTS = [
    ("10.0.0.1", "10.0.0.1", "10.0.0.1:2380"),
    ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1:2380"),
    ("fd00::11", "fd00::11", "[fd00::11]:2380"),
    ("[fd00::11]", "fd00::11", "[fd00::11]:2380"),
    ("FD00:0:0::0011", "fd00::11", "[fd00::11]:2380"),
    ("::1", "::1", "[::1]:2380"),
    ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]:2380"),
    ("host.example.com", "host.example.com", "host.example.com:2380"),
]


@pytest.mark.parametrize(("given", "canonical", "place"), HOSTS)
def test_host_has_one_text_and_one_place(given: str, canonical: str, place: str) -> None:
    assert addresses.canonical(given) == canonical
    assert addresses.host_port(given, 2380) == place
    assert addresses.url("https", given, 2380) == f"https://{place}"
    assert addresses.is_same(given, canonical)


@pytest.mark.parametrize(("given", "canonical", "place"), HOSTS)
def test_etcd_urls_of_address(given: str, canonical: str, place: str) -> None:
    assert quorum.peer_url(given) == f"https://{place}"
    assert quorum.client_url(given) == f"https://{place}".replace("2380", "2379")


@pytest.mark.parametrize("canonical", [row[1] for row in HOSTS])
def test_probe_names_places_as_the_checks_do(canonical: str) -> None:
    # The probe is one file that is sent to hosts, so it has its own copy of the rule.
    assert host_facts.place((canonical, 2379)) == addresses.host_port(canonical, 2379)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("https://10.0.0.1:2380", "https://10.0.0.1:2380"),
        ("https://[FD00:0::11]:2380", "https://[fd00::11]:2380"),
        ("https://[fd00::11]", "https://[fd00::11]"),
        ("http://[::ffff:10.0.0.1]:80/a?b#c", "http://10.0.0.1:80/a?b#c"),
        ("https://cp-1.example.com:2380", "https://cp-1.example.com:2380"),
        ("https://fd00::11:2380", "https://fd00::11:2380"),
        ("http://[::1", "http://[::1"),
        ("https://user@10.0.0.1:1", "https://user@10.0.0.1:1"),
        ("", ""),
    ],
)
def test_url_becomes_canonical_or_stays(given: str, canonical: str) -> None:
    assert addresses.canonical_url(given) == canonical


@pytest.mark.parametrize(
    ("given", "family"),
    [
        ("10.0.0.1", "IPv4"),
        ("10.0.0.0/8", "IPv4"),
        ("fd00::1", "IPv6"),
        ("fd00::/48", "IPv6"),
        ("::ffff:10.0.0.1", "IPv4"),
        ("host", ""),
        ("", ""),
    ],
)
def test_family_of_address_and_network(given: str, family: str) -> None:
    assert addresses.family(given) == family
    assert addresses.is_ipv6(given.partition("/")[0]) == (family == "IPv6")


@pytest.mark.parametrize(
    ("address", "network", "fits"),
    [
        ("10.0.0.1", "10.96.0.0/12", True),
        ("fd00::1", "fd00:96::/112", True),
        ("fd00::1", "10.96.0.0/12", False),
        ("10.0.0.1", "fd00:96::/112", False),
        ("host", "10.96.0.0/12", True),
    ],
)
def test_address_fits_network_of_its_family(address: str, network: str, fits: bool) -> None:
    problem = addresses.family_problem(address, "Service", network)
    assert (problem is None) == fits
    if problem:
        assert f"but the Service network {network} is" in problem


def test_text_that_is_no_address_stays() -> None:
    for text in ("", "10.0.0.1/24", "10.0.0.1,10.0.0.2", "[10.0.0.1", "a:b", "fd00::1]"):
        assert addresses.parsed(text) is None
        assert addresses.canonical(text) == text


def test_no_other_module_joins_address_and_port() -> None:
    """A colon between two values of an f-string or a template breaks IPv6 URLs."""
    joined = re.compile(
        r"(address|host|ip|place|server|item|one)\b[^{}\n]{0,8}\}{1,2}:(\{|\d{2,5})|://\{(?!\{? ?api)"
    )
    found = []
    for path in [*LIBRARY.rglob("*.py"), *SALT.rglob("*.j2"), *SALT.rglob("*.sls")]:
        if path.name == "addresses.py":
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            if joined.search(line):
                found.append(f"{path.name}: {line.strip()}")
    # The name of a Service.
    assert [line for line in found if not line.startswith("smoke_test.py")] == []
