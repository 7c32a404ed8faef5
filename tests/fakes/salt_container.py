"""A bootstrap host of MetalK8s in a directory: its files, and ``crictl`` and ``kubectl`` in memory.

The master reads its configuration when its container starts, and a sync brings the plugins of one
saltenv and removes all others, as Salt's do.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

VERSION = "134.0.0"
PLUGINS = "/var/cache/salt/master/extmods"
RUNNER = "runners/metalk8s_expand.py"


# The installer asks for the same few texts thousands of times. Callers do not change the result.
@functools.lru_cache
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


class FakeSaltContainer:
    """The host, below ``root``. ``run`` has the interface of the installer's ``Host.run``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = self.started = 1
        self.calls: list[str] = []
        self.effect: Callable[[], None] = lambda: None
        self.versions = "Salt Version:\n          Salt: 3006.25\n\n  Python: 3.10.14 (main)\n"
        self.answers: dict[str, Any] = {"jobs.active": {}}
        self.nodes = {VERSION: ["boot"]}
        self.silent: set[str] = set()
        # Minions that connect again after this many jobs.
        self.slow: dict[str, int] = {}
        self.starts = True
        self.write("/etc/metalk8s/bootstrap.yaml", "kind: BootstrapConfiguration\n")
        self.write(
            "/etc/kubernetes/manifests/salt-master.yaml",
            f"labels:\n    metalk8s.scality.com/version: '{VERSION}'\n",
        )
        self.archives(VERSION)
        self.started_with = self.configuration()

    def archives(self, *versions: str) -> None:
        """Let MetalK8s serve the archives of these versions."""
        for version in versions:
            self.write(f"/srv/scality/metalk8s-{version}/salt/_runners/theirs.py", version)
        roots = {f"metalk8s-{name}": [f"/srv/scality/metalk8s-{name}/salt"] for name in versions}
        self.write(
            "/etc/salt/master.d/99-metalk8s-roots.conf", yaml.safe_dump({"file_roots": roots})
        )

    def write(self, path: str, text: str) -> None:
        """Write a file of the host."""
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def path(self, path: str) -> Path:
        """Return where a file of the host is."""
        return self.root / path.lstrip("/")

    def files(self, *tops: str) -> dict[str, str]:
        """Return all files of the host below these directories, with their content."""
        found = {}
        for top in tops:
            for path in sorted(self.path(top).rglob("*")):
                if path.is_file():
                    found[f"/{path.relative_to(self.root)}"] = path.read_text()
        return found

    def configuration(self) -> dict[str, Any]:
        """Return the configuration of all files. Salt joins the lists of its files."""
        joined: dict[str, Any] = {}
        for path in sorted(self.path("/etc/salt/master.d").glob("*.conf")):
            for key, value in _parsed(path.read_text()).items():
                if not isinstance(value, dict):
                    joined[key] = value
                    continue
                for name, paths in value.items():
                    joined.setdefault(key, {}).setdefault(name, []).extend(paths)
        return {**joined, "id": "boot_master", "extension_modules": PLUGINS}

    def run(self, argv: Sequence[str], timeout_s: int) -> tuple[int, str, str]:
        """Run a program. A test may end the installer before and after it."""
        assert timeout_s > 0
        self.effect()
        result = self._run(list(argv))
        self.effect()
        return result

    def _run(self, argv: list[str]) -> tuple[int, str, str]:
        if argv[0] == "kubectl":
            [selector] = [item for item in argv if item.startswith("--selector=")]
            names = self.nodes.get(selector.rpartition("=")[2], [])
            return 0, "".join(f"node/{name}\n" for name in names), ""
        if argv[:2] == ["crictl", "ps"]:
            return 0, f"c{self.number}\n" if self.number else "", ""
        if argv[:2] == ["crictl", "stop"]:
            self.calls.append("stop")
            if argv[-1] != f"c{self.number}":
                return 1, "", f"container {argv[-1]} is not running"
            self.restart()
            return 0, "", ""
        assert argv[:2] == ["crictl", "exec"]
        if argv[2] != f"c{self.number}":
            return 1, "", f"container {argv[2]} is not running"
        program, *rest = argv[3:]
        words = [word for word in rest if word not in ("--log-level=quiet", "--out=json")]
        return self._salt_run(words) if program == "salt-run" else self._salt(words)

    def restart(self) -> None:
        """Start another container, which reads the configuration."""
        self.started += 1
        self.number = self.started if self.starts else 0
        self.started_with = self.configuration()

    def _salt_run(self, words: list[str]) -> tuple[int, str, str]:
        function, *arguments = words
        if function == "--versions-report":
            return 0, self.versions, ""
        answer: Any = self.answers.get(function)
        if function == "config.get":
            answer = self.configuration().get(arguments[0], "")
        elif function == "saltutil.sync_all":
            self.calls.append(f"sync {arguments[0]}")
            self._sync(arguments[0].partition("=")[2])
        elif function == "metalk8s_expand.status" and not arguments:
            self.calls.append("status")
        is_known = function.partition(".")[0] in ("config", "fileserver", "jobs", "saltutil")
        if not (is_known or function in self.answers or self.path(f"{PLUGINS}/{RUNNER}").exists()):
            # As Salt does: a text, and success.
            answer = f"'{function}' is not available."
        return 0, json.dumps(answer), ""

    def _sync(self, saltenv: str) -> None:
        shutil.rmtree(self.path(PLUGINS), ignore_errors=True)
        # The runner reads the configuration itself; the first directory wins.
        for root in reversed(self.configuration()["file_roots"][saltenv]):
            for path in self.path(root).glob("_*"):
                target = self.path(PLUGINS) / path.name[1:]
                shutil.copytree(path, target, dirs_exist_ok=True)

    def _salt(self, words: list[str]) -> tuple[int, str, str]:
        if "test.ping" in words:
            return 0, "No minions matched the target.", ""
        names = words[words.index("--list") + 1].split(",")
        self.calls.append(f"minions {','.join(names)} {words[-1]}")
        away = self.silent | {name for name, jobs in self.slow.items() if jobs > 0}
        self.slow = {name: jobs - 1 for name, jobs in self.slow.items()}
        answers = {name: False if name in away else {"modules": []} for name in names}
        return 0, json.dumps(answers), ""
