"""Test the arguments, the output and the errors of the command line."""

import ipaddress
import json

import pytest
import yaml
from metalk8s_lab import bootstrap, cli, settings
from metalk8s_lab.builders import golang, salt_env
from metalk8s_lab.builders.cache import cached, digest
from metalk8s_lab.errors import LabError
from metalk8s_lab.hosts import host, identity
from metalk8s_lab.lab import Lab
from metalk8s_lab.lock import locked


def test_exec_passes_the_command_unchanged():
    arguments = cli.parse(["exec", "cp-1", "--", "ls", "--all", "-n", "--", "x"])
    assert (arguments.node, arguments.argv) == ("cp-1", ["ls", "--all", "-n", "--", "x"])


def test_snapshot_has_a_default_name():
    assert cli.parse(["snapshot"]).name == "default"


def test_unknown_host_fails_with_a_message(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("METALK8S_LAB_STATE", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cli.main(["exec", "nope", "--", "true"]) == 125
    assert "there is no host 'nope'" in capsys.readouterr().err


def test_status_as_json_lists_the_hosts(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("METALK8S_LAB_STATE", str(tmp_path))
    monkeypatch.setattr(host, "leader", lambda name: None)
    (tmp_path / "lab.json").write_text('{"nodes": 1}')
    assert cli.main(["status", "--json"]) == 0
    hosts = json.loads(capsys.readouterr().out)["hosts"]
    assert hosts == [
        {"name": "bootstrap", "address": "10.200.0.10", "pid": None},
        {"name": "cp-1", "address": "10.200.0.11", "pid": None},
    ]


def test_lab_keeps_the_family_of_its_first_start(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("METALK8S_LAB_STATE", str(tmp_path))
    monkeypatch.setattr(host, "leader", lambda name: None)
    (tmp_path / "lab.json").write_text('{"nodes": 0, "family": "ipv6"}')
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hosts"][0]["address"] == "fd00:200::10"
    monkeypatch.setenv("LAB_FAMILY", "dual")
    with pytest.raises(LabError, match=r"has ipv6 addresses, LAB_FAMILY is dual: .* destroy"):
        Lab(settings.from_environment()).up()


@pytest.mark.parametrize(
    ("family", "network", "expected"),
    [
        ("ipv4", "Address=10.200.0.11/24\nGateway=10.200.0.1\nLinkLocalAddressing=no\n", {}),
        (
            "ipv6",
            "Address=fd00:200::11/64\nGateway=fd00:200::1\nLinkLocalAddressing=ipv6\n",
            {},
        ),
        (
            "dual",
            "Address=fd00:200::11/64\nGateway=fd00:200::1\n"
            "Address=10.200.0.11/24\nGateway=10.200.0.1\nLinkLocalAddressing=ipv6\n",
            {"ssh": {"host": "10.200.0.11"}},
        ),
    ],
)
def test_host_and_declaration_have_addresses_of_the_family(
    monkeypatch, tmp_path, family, network, expected
):
    monkeypatch.setenv("METALK8S_LAB_STATE", str(tmp_path))
    monkeypatch.setenv("LAB_FAMILY", family)
    lab = Lab(settings.from_environment())
    one = lab.hosts[1]
    assert network in identity._network(one, family)
    declared = yaml.safe_load(bootstrap.declaration(lab))["metalk8s_expand"]["nodes"]
    assert list(declared) == ["cp-1", "cp-2", "infra-1", "worker-1"]
    cp_1 = {"profile": "control-plane", "address": str(one.address), **expected}
    assert declared["cp-1"] == cp_1
    values = yaml.safe_load(bootstrap.filled(lab, (bootstrap.FILES / "bootstrap.yaml").read_text()))
    networks = values["networks"]
    assert ipaddress.ip_address(str(one.address)) in ipaddress.ip_network(
        networks["controlPlane"]["cidr"][0]
    )
    master = yaml.safe_load(
        bootstrap.filled(lab, (bootstrap.FILES / "99-metalk8s.conf").read_text())
    )
    assert master["interface"] == str(lab.bootstrap.address)
    assert master.get("ipv6", False) is (family != "ipv4")


def test_lock_has_one_holder_at_a_time(tmp_path):
    with locked(tmp_path), pytest.raises(LabError, match="still holds"), locked(tmp_path, wait=0):
        pass
    with locked(tmp_path, wait=0):
        pass


def test_cache_ignores_result_of_failed_build(tmp_path):
    def fail(directory):
        (directory / "half").touch()
        raise LabError("no")

    with pytest.raises(LabError):
        cached(tmp_path / "thing", "a thing", fail)
    assert not (tmp_path / "thing").exists()
    assert list(
        cached(
            tmp_path / "thing", "a thing", lambda directory: (directory / "whole").touch()
        ).iterdir()
    ) == [tmp_path / "thing" / "whole"]


def test_digest_depends_on_every_input():
    assert len({digest("a", "b"), digest("ab"), digest("a", ["b"]), digest("b", "a")}) == 4


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 x", (1, 9)), ("?", (0, 0))],
)
def test_go_version_is_parsed_to_two_numbers(text, numbers):
    assert golang.version_numbers(text) == numbers


@pytest.mark.parametrize(
    ("path", "minion", "master"),
    [
        ("lib/python3.13/site-packages/salt/minion.py", True, True),
        ("lib/python3.13/site-packages/salt/modules/test.py", True, True),
        ("lib/python3.13/site-packages/pip/__init__.py", False, True),
        ("lib/python3.13/site-packages/pip-25.0.dist-info/METADATA", False, True),
        ("lib/python3.13/site-packages/libcloud/compute.py", False, False),
        ("lib/python3.13/site-packages/x/tests/test_x.py", False, False),
        ("include/site/python3.13/x.h", False, False),
        ("bin/salt-call", True, True),
    ],
)
def test_salt_archive_omits_files_that_a_node_does_not_need(path, minion, master):
    assert (
        salt_env._is_needed(path, with_pip=False),
        salt_env._is_needed(path, with_pip=True),
    ) == (minion, master)
