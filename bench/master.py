"""Write a Salt master's configuration for salt-run, with the extension as sync lays it out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("modules", "output", "pillar", "roster", "runners", "states", "utils")
ID = "bench_master"


class Master:
    """A master's configuration below ``base``; no daemon runs."""

    def __init__(self, base: Path, kubeconfig: Path) -> None:
        self.base = base
        for kind in KINDS:
            shutil.copytree(
                ROOT / "salt" / f"_{kind}",
                base / "ext" / kind,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        # A master creates this directory when it starts.
        (base / "cache" / "proc").mkdir(parents=True)
        (base / "pillar").mkdir()
        (base / "pillar" / "top.sls").write_text(f"base:\n  {ID}: [declared]\n")
        self.config = {
            "id": ID,
            "root_dir": str(base),
            "cachedir": str(base / "cache"),
            "extension_modules": str(base / "ext"),
            "pillar_roots": {"base": [str(base / "pillar")]},
            "log_level": "quiet",
            "log_level_logfile": "quiet",
            "metalk8s_expand": {"kubeconfig": str(kubeconfig)},
        }
        (base / "master").write_text(json.dumps(self.config))

    def declare(self, pillar: Mapping[str, Any]) -> None:
        """Write the pillar."""
        (self.base / "pillar" / "declared.sls").write_text(json.dumps({"metalk8s_expand": pillar}))

    def run(self, *arguments: str) -> Any:
        """Return the answer of a runner function.

        Raise ``RuntimeError`` for an answer that is a string: it says that the function is unknown.
        """
        program = str(Path(sys.executable).with_name("salt-run"))
        command = [program, "-c", str(self.base), "--out=json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}")
        answer = json.loads(done.stdout)
        if isinstance(answer, str):
            raise RuntimeError(f"{arguments}: {answer}")
        return answer
