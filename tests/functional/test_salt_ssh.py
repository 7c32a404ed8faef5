"""Test the files of salt-ssh that a run prepares before several deployments need them."""

from __future__ import annotations

from pathlib import Path

import salt.config

from metalk8s_expand.clients.salt import orchestrations


def test_key_roster_and_archives_are_ready_before_deployments(tmp_path: Path) -> None:
    (tmp_path / "pki" / "ssh").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    opts = salt.config.master_config(None)
    opts.update(
        cachedir=str(tmp_path / "cache"),
        extension_modules=str(tmp_path / "ext"),
        pki_dir=str(tmp_path / "pki"),
        roster_file=str(tmp_path / "roster"),
        file_roots={"base": [str(tmp_path / "files")]},
    )
    opts.pop("ssh_priv", None)
    orchestrations.prepare_ssh(opts)
    key = tmp_path / "pki" / "ssh" / "salt-ssh.rsa"
    thin = tmp_path / "cache" / "thin" / "thin.tgz"
    assert [path.is_file() for path in (key, thin)] == [True, True]
    assert (tmp_path / "roster").read_text() == "{}\n"
    times = [path.stat().st_mtime_ns for path in (key, thin)]
    orchestrations.prepare_ssh(opts)
    assert [path.stat().st_mtime_ns for path in (key, thin)] == times
