"""Test the installed wheel: Salt finds the plugins through the entry point.

The source tree is not on the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import extension

PROGRAM = """
import json, sys, tempfile
import salt.config, salt.loader, salt.version
import metalk8s_expand
opts = salt.config.master_config(None)
base = tempfile.mkdtemp()
opts.update({"extension_modules": base + "/ext", "cachedir": base + "/cache"})
utils = salt.loader.utils(opts)
print(json.dumps({
    "library": metalk8s_expand.__file__,
    "salt": salt.version.__file__,
    "rosters": [name for name in salt.loader.roster(opts, runner={}, utils=utils) if name.endswith(".targets")],
    "runners": [name for name in salt.loader.runner(opts, utils=utils) if name.startswith("metalk8s_expand")],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extension.install(tmp_path_factory.mktemp("wheel"))


def test_plugins_load_through_entry_point(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd=installed,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["library"].startswith(str(installed))
    assert not found["salt"].startswith(str(installed))
    assert {"metalk8s_expand.targets", "kubernetes.targets"} <= set(found["rosters"])
