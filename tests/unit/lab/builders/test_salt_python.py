"""Test which Salt versions get an older Python.

Without it the daemons of an old Salt do not communicate on the hosts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from metalk8s_lab.builders import chroot, salt_python


@pytest.mark.parametrize(
    ("version", "own"), [("3006.28", True), ("3006.9", True), ("3007.15", False), ("3008.3", False)]
)
def test_older_python_is_installed_only_for_salt_3006(
    monkeypatch: pytest.MonkeyPatch, version: str, own: bool
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(chroot.Chroot, "run", lambda self, *argv, timeout=60: ran.append(argv))
    program = salt_python.install(
        chroot.Chroot(Path("/r"), Path("/s")), version, "/opt/salt/python"
    )
    assert program == ("/opt/salt/python/bin/python3.11" if own else "python3")
    assert bool(ran) is bool(salt_python.key(version)) is own
