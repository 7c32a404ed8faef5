"""Test the keys of a master with Salt's own key store, whose layout depends on Salt's version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.key

from metalk8s_expand.clients.salt.keys import ACCEPTED, Keys

PEM = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\nhkiG9w0BAQEF\n-----END PUBLIC KEY-----\n"


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = salt.config.master_config(None)
    found.update(
        {
            "pki_dir": str(tmp_path / "pki"),
            "cachedir": str(tmp_path / "cache"),
            "sock_dir": str(tmp_path / "sock"),
            "extension_modules": str(tmp_path / "ext"),
        }
    )
    (tmp_path / "cache").mkdir()
    for name in ("minions", "minions_pre", "minions_rejected", "minions_denied"):
        (tmp_path / "pki" / name).mkdir(parents=True)
    return found


def test_added_key_is_accepted(opts: dict[str, Any]) -> None:
    keys = Keys(opts)
    assert keys.public_key("w-1") is None
    keys.add("w-1", PEM)
    directory, text = keys.public_key("w-1") or ("", "")
    assert directory == ACCEPTED
    assert "".join(text.split()) == "".join(PEM.split())
    assert keys.accepted() == ["w-1"]


def test_added_key_is_where_salt_looks(opts: dict[str, Any]) -> None:
    Keys(opts).add("w-1", PEM)
    listed = salt.key.get_key({**opts, "output": "quiet"}).list_keys()
    assert list(listed[ACCEPTED]) == ["w-1"]
    assert [name for name in listed if listed[name] and name != ACCEPTED] == []
    assert (Path(opts["pki_dir"]) / ACCEPTED / "w-1").is_file()


def test_added_key_stands_beside_known_keys(opts: dict[str, Any]) -> None:
    keys = Keys(opts)
    keys.add("w-1", PEM)
    keys.add("w-10", PEM.replace("MIIB", "MIIC"))
    assert sorted(keys.accepted()) == ["w-1", "w-10"]
    assert "MIIB" in (keys.public_key("w-1") or ("", ""))[1]
    assert "MIIC" in (keys.public_key("w-10") or ("", ""))[1]


def test_added_key_can_be_deleted(opts: dict[str, Any]) -> None:
    keys = Keys(opts)
    keys.add("w-1", PEM)
    assert keys.delete("w-1")
    assert keys.public_key("w-1") is None
    assert not keys.delete("w-1")
