"""Salt itself: its pillar, its keys, its jobs. The only library file that imports Salt (boundary.py has its errors)."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.errors import SettingsError

PILLAR_KEY = "metalk8s_expand"
MASTER_SUFFIX = "_master"


def declared_pillar(opts: Mapping[str, Any], master_id: str | None = None) -> Any:
    """What the pillar of ``<master id>`` declares under ``metalk8s_expand``; None when there is nothing.

    External pillars are left out: ours asks for this very value.
    """
    return master_pillar(opts, master_id).get(PILLAR_KEY)


def master_pillar(opts: Mapping[str, Any], master_id: str | None = None) -> dict[str, Any]:
    """The pillar that ``state.orchestrate`` sees, without external pillars. Raises SettingsError when it is broken."""
    import salt.loader
    import salt.pillar

    name = master_id or pillar_id(opts)
    own = copy.deepcopy(dict(opts))
    # A pillar that the options hold already would lend its errors to this one.
    own.update({"ext_pillar": [], "id": name, "pillar": {}, "pillarenv": None})
    pillar = salt.pillar.Pillar(own, {"id": name}, name, None).compile_pillar()
    if pillar.get("_errors"):
        raise SettingsError(
            f"the pillar of {name} cannot be compiled: " + "; ".join(str(error) for error in pillar["_errors"]),
            hint="mend the pillar file that the message names",
        )
    return dict(pillar)


def pillar_id(opts: Mapping[str, Any]) -> str:
    """The ID under which the master's own pillar is compiled: salt-ssh and masters configure it without the suffix."""
    name = str(opts["id"])
    return name if name.endswith(MASTER_SUFFIX) else name + MASTER_SUFFIX


class Keys:
    """The master's view of minion keys."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)

    def public_key(self, minion: str) -> tuple[str, str] | None:
        """(directory, PEM) of the key known under this exact name, or None; directory as ``minions_pre``."""
        for directory, keys in self._keys().key_str(minion).items():
            if minion in keys:
                return str(directory), str(keys[minion])
        return None

    def accept(self, minion: str) -> bool:
        """Accept the pending key of this exact name; whether it is accepted now, read anew."""
        self._keys().accept(match=minion)
        found = self.public_key(minion)
        return found is not None and found[0] == "minions"

    def accepted(self) -> list[str]:
        """The names of all accepted minions."""
        return list(self._keys().list_keys().get("minions", ()))

    def _keys(self) -> Any:
        import salt.key

        return salt.key.get_key({**self._opts, "output": "quiet"})


class Minions:
    """The minions, as far as the master hears of them."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)

    def ping(self, minion: str, timeout: int = 2) -> bool:
        """Whether the minion answers within about twice ``timeout`` seconds."""
        import salt.client

        # From the file: an orchestration's states are given a minion's options, with which the master knows nobody.
        with salt.client.get_local_client(c_path=str(self._opts["conf_file"])) as client:
            # By default Salt asks ten seconds more whether the job still runs, of a minion that is not there yet.
            answer = client.cmd(minion, "test.ping", timeout=timeout, tgt_type="list", gather_job_timeout=1)
        return answer.get(minion) is True


def prepare_ssh(opts: Mapping[str, Any]) -> None:
    """Let salt-ssh make what it sends to every host (thin, modules) and its key, before several processes would at once.

    They write the same files, and one that finds another's half written sends it: the host answers with nothing.
    """
    import salt.client.ssh
    import salt.client.ssh.shell
    import salt.fileclient
    import salt.utils.thin

    own = copy.deepcopy(dict(opts))
    # The master's maintenance keeps file servers current for its own processes only.
    own.pop("__fs_update", None)
    key = Path(own.get("ssh_priv") or Path(own["pki_dir"]) / "ssh" / "salt-ssh.rsa")
    if not key.is_file():
        salt.client.ssh.shell.gen_key(str(key))
    salt.utils.thin.gen_thin(
        own["cachedir"],
        extra_mods=own.get("thin_extra_mods"),
        overwrite=own.get("regen_thin", False),
        extended_cfg=own.get("ssh_ext_alternatives"),
    )
    salt.client.ssh.mod_data(salt.fileclient.FSClient(own))


class Orchestrations:
    """``state.orchestrate`` jobs, each in a process of its own that outlives whoever started it.

    To be used by one thread: Salt forks to start a job, which threads do not survive well.
    """

    def __init__(self, opts: Mapping[str, Any], ask_every: float = 1.0) -> None:
        self._opts = dict(opts)
        self._ask_every = ask_every
        self._asked: dict[str, float] = {}
        self._returned: dict[str, Any] = {}

    def start(self, sls: str, saltenv: str, pillar: Mapping[str, Any]) -> str:
        """Start one and return its job ID; it runs on when this process ends."""
        import salt.runner
        import salt.utils.jid

        client = salt.runner.RunnerClient(copy.deepcopy(self._opts))
        jid = str(salt.utils.jid.gen_jid(self._opts))
        low = {"arg": [sls], "kwarg": {"saltenv": saltenv, "pillar": dict(pillar), "orchestration_jid": jid}}
        pub = {"jid": jid, "tag": f"salt/run/{jid}"}
        client.asynchronous("state.orchestrate", low, user=PILLAR_KEY, pub=pub)
        self._asked[jid] = time.monotonic()
        return jid

    def result(self, jid: str) -> Any:
        """The job's return, or None while it runs. Read from the job cache: an event can be missed."""
        if jid not in self._returned and time.monotonic() - self._asked.get(jid, 0.0) > self._ask_every:
            self._asked[jid] = time.monotonic()
            cached = self._cached(jid)
            if cached is not None:
                self._returned[jid] = cached
        return self._returned.get(jid)

    def _cached(self, jid: str) -> Any:
        import salt.loader

        returners = salt.loader.returners(dict(self._opts), {})
        found = returners[f"{self._opts['master_job_cache']}.get_jid"](jid)
        for value in found.values():
            answer = value.get("return", value) if isinstance(value, dict) else value
            return answer.get("return", answer) if isinstance(answer, dict) else answer
        return None


def cache_directory(opts: Mapping[str, Any]) -> Path:
    """Where the master keeps what we remember (reports), readable by its user only."""
    path = Path(str(opts["cachedir"])) / PILLAR_KEY
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def save_report(opts: Mapping[str, Any], report: Mapping[str, Any]) -> Path:
    """Keep a report as JSON; its path."""
    path = cache_directory(opts) / f"report-{report['id']}.json"
    path.write_text(json.dumps(report, indent=1, sort_keys=True, default=str), encoding="utf-8")
    return path


def reports(opts: Mapping[str, Any]) -> list[Path]:
    """The kept reports, oldest first."""
    return sorted(cache_directory(opts).glob("report-*.json"))
