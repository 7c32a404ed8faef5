"""Install the minion of a host over SSH: its Salt, its configuration, the modules that it needs.

One SSH call brings everything and returns the minion's public key, a second one starts the minion.
The master accepts the key in between, so the minion's first connection succeeds.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.host.clock import Clock
from metalk8s_expand.clients.salt import pillar as master
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.clients.ssh.remote_script import no_answer, run_script
from metalk8s_expand.cluster import minion_key
from metalk8s_expand.errors import DeployError, visible_tree
from metalk8s_expand.remote import host_facts, install_minion

INSTALL, START = "install", "start"
# Seconds for fetching and unpacking Salt, and for the minion's start.
SECONDS: Mapping[str, float] = {INSTALL: 600.0, START: 120.0}
# What saltutil.sync_all brings to a minion: the directory of a saltenv, and its name there.
SYNCED: Mapping[str, str] = {
    "_beacons": "beacons",
    "_engines": "engines",
    "_executors": "executors",
    "_grains": "grains",
    "_log_handlers": "log_handlers",
    "_matchers": "matchers",
    "_modules": "modules",
    "_output": "output",
    "_proxy": "proxy",
    "_renderers": "renderers",
    "_returners": "returners",
    "_sdb": "sdb",
    "_serializers": "serializers",
    "_states": "states",
    "_utils": "utils",
}


def run_minion(
    opts: Mapping[str, Any], target: Target, request: Mapping[str, Any], clock: Clock
) -> dict[str, Any]:
    """Ensure that the host has the minion of ``request``, and that it answers.

    ``request`` is what ``install_minion.install`` reads. Returns the changes. Raises
    UnreachableError without an answer over SSH, ConflictError if the master has another key of this
    name, DeployError otherwise.
    """
    keys, minions = Keys(opts), Minions(opts)
    done = _ask(target, INSTALL, request)
    changes: dict[str, Any] = dict.fromkeys(done["changed"], "written")
    public_key = str(done["public_key"])
    if minion_key.admit(keys, target.name, public_key):
        changes["key"] = "accepted"
    if done["start"]:
        _ask(target, START, {})
        changes["minion"] = "started"
    minion_key.wait_for_answer(keys, minions, target.name, public_key, clock)
    return changes


def options_as_yaml(options: Mapping[str, Any]) -> str:
    """Return the options as YAML, one line each.

    The preflight and the removal find the line of the minion's ID, as people do with ``grep``.
    """
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in sorted(options.items())]
    return "".join(lines)


def packed_modules(files: FileServer, saltenv: str) -> str:
    """Return the modules that a minion synchronizes from a saltenv, as an archive in Base64.

    The same files make the same text.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for directory, name in SYNCED.items():
            for path, source in files.files(directory, saltenv).items():
                content = source.read_bytes()
                entry = tarfile.TarInfo(f"{name}/{path.partition('/')[2]}")
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
    return base64.b64encode(packed.getvalue()).decode()


def _ask(target: Target, mode: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the script once and return its answer."""
    script = Path(install_minion.__file__).read_text(encoding="utf-8")
    source = f"import json\nREQUEST = json.loads({json.dumps(request)!r})\n{script}"
    answer = run_script(target, source, mode, SECONDS[mode])
    reply = host_facts.answer(answer.stdout, install_minion.MARK)  # type: ignore[no-untyped-call]
    if reply is None:
        what = f"the host gave no answer to the {mode} of its minion, its command"
        raise no_answer(target.name, what, answer)
    if "error" in reply:
        raise DeployError(
            f"the host cannot {mode} its minion: {visible_tree(reply['error'])}",
            node=target.name,
            hint="fix it on the host and run the same command again",
            log=minion_key.LOG,
        )
    # A key has several lines; the rest is shown to the operator.
    key = reply.get("public_key")
    return {**visible_tree(reply), "public_key": key}


def request_of(
    opts: Mapping[str, Any],
    saltenv: str,
    archive: Mapping[str, str],
    configuration: Mapping[str, Any],
    unit: str,
) -> dict[str, Any]:
    """Return the request for the script.

    ``archive`` has the ``url`` and ``sha256`` of Salt's archive. ``configuration`` are the options
    of the minion. ``unit`` is the path of its systemd unit in the saltenv.
    """
    files = FileServer(opts)
    contents = {
        "/etc/salt/minion": (options_as_yaml(configuration), 0o640),
        "/etc/systemd/system/salt-minion.service": (files.text(unit, saltenv), 0o644),
        # With it the minion accepts no other master.
        install_minion.MASTER_KEY: (master.master_key(opts), 0o644),
    }
    return {
        "archive": dict(archive),
        "modules": packed_modules(files, saltenv),
        "files": {
            path: {"content": content, "mode": mode} for path, (content, mode) in contents.items()
        },
    }
