"""Salt itself: its pillar, its keys, its jobs (bus.py has its events, boundary.py its errors)."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.salt import running_jobs
from metalk8s_expand.errors import SettingsError, UnreachableError

PILLAR_KEY = "metalk8s_expand"
MASTER_SUFFIX = "_master"
# The directories of the keys, the one that counts most first.
KEY_DIRECTORIES = ("minions", "minions_pre", "minions_rejected", "minions_denied")
FEW = 50
# Salt asks those that have not answered by then whether the job still runs, and waits on for those that say so in time.
ANSWER_S, RUNNING_S = 5, 5


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
    own.update(
        {
            "ext_pillar": [],
            "id": name,
            "pillar": {},
            "pillarenv": None,
            "pillar_safe_render_error": False,
        }
    )
    pillar = salt.pillar.Pillar(own, {"id": name}, name, None).compile_pillar()
    if pillar.get("_errors"):
        raise SettingsError(
            f"the pillar of {name} cannot be compiled: "
            + "; ".join(map(_reason, pillar["_errors"])),
            hint="mend the pillar file that the message names",
        )
    return dict(pillar)


def master_key(opts: Mapping[str, Any]) -> str:
    """The PEM of the master's public key; nothing when this user may not read it."""
    try:
        return (Path(str(opts["pki_dir"])) / "master.pub").read_text(encoding="utf-8")
    except OSError:
        return ""


def _reason(error: object) -> str:
    """Why a pillar file does not render, without the lines of it that Salt shows below: they may hold secrets."""
    return " ".join(str(error).partition("\n---")[0].split())


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

    def public_keys(self, minions: Iterable[str]) -> dict[str, str]:
        """The PEM of every one of these exact names that has a key, wherever it is; an accepted one before others."""
        wanted = set(minions)
        keys = self._keys()
        known = {name for names in keys.list_keys().values() for name in names if name in wanted}
        # Salt compares every key with every name.
        found = keys.key_str(sorted(known) if len(known) <= FEW else "*") if known else {}
        ordered = [found.get(directory, {}) for directory in reversed(KEY_DIRECTORIES)]
        return {
            str(name): _first(key)
            for those in ordered
            for name, key in those.items()
            if name in known
        }

    def accept(self, minion: str) -> bool:
        """Accept the pending key of this exact name; whether it is accepted now, read anew."""
        self._keys().accept(match=minion)
        found = self.public_key(minion)
        return found is not None and found[0] == "minions"

    def delete(self, minion: str) -> bool:
        """Forget every key of this exact name, wherever it is; whether there was one."""
        keys = self._keys()
        found = {
            directory: [minion] for directory, names in keys.list_keys().items() if minion in names
        }
        if found:
            keys.delete_key(match_dict=found)
        return bool(found)

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
            answer = client.cmd(
                minion, "test.ping", timeout=timeout, tgt_type="list", gather_job_timeout=1
            )
        return answer.get(minion) is True

    def ask(
        self, minions: Iterable[str], function: str, arguments: Sequence[Any]
    ) -> dict[str, Any]:
        """One job on all of these that are accepted; the answers of those that gave one, which may be Salt's own words.

        A minion that has answered nothing after some seconds and does not know the job is not waited for: so it takes
        as long as the function does, and some seconds. UnreachableError when there is no master to send it.
        """
        import salt.client
        import salt.exceptions

        accepted = set(Keys(self._opts).accepted())
        chosen = [minion for minion in minions if minion in accepted]
        if not chosen:
            # Salt would print that on stdout.
            return {}
        try:
            with salt.client.get_local_client(c_path=str(self._opts["conf_file"])) as client:
                return dict(
                    client.cmd(
                        chosen,
                        function,
                        arg=list(arguments),
                        timeout=ANSWER_S,
                        tgt_type="list",
                        gather_job_timeout=RUNNING_S,
                    )
                )
        except salt.exceptions.SaltException as exc:
            raise UnreachableError(
                f"Salt's master cannot ask {', '.join(chosen)}: {exc}",
                hint="check that salt-master runs, and that this command runs as its user",
                log="/var/log/salt/master",
            ) from exc

    def grains(self, minions: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What each minion last said of itself, as far as the master remembers it. They say what they like."""
        import salt.cache

        if not self._opts.get("minion_data_cache", False):
            return
        cache = salt.cache.factory(dict(self._opts))
        for minion in minions:
            # One bank since 3008, one for each minion before.
            found = cache.fetch("grains", minion) or (
                cache.fetch(f"minions/{minion}", "data") or {}
            ).get("grains")
            if isinstance(found, dict) and found:
                yield minion, found


# How often the running jobs are listed, and after how long one that is not among them is gone.
LOOK_S, GONE_S = 3.0, 15.0


def _first(key: Any) -> str:
    """Salt 3008 keeps all keys that were denied to one name."""
    return str(key[0] if isinstance(key, (list, tuple)) and key else key)


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
        self._seen: dict[str, float] = {}
        self._looked = 0.0

    def new(self) -> str:
        """The ID of the next job."""
        import salt.utils.jid

        return str(salt.utils.jid.gen_jid(self._opts))

    def start(self, jid: str, sls: str, saltenv: str, pillar: Mapping[str, Any]) -> None:
        """Start one; it runs on when this process ends."""
        import salt.runner

        client = salt.runner.RunnerClient(copy.deepcopy(self._opts))
        low = {
            "arg": [sls],
            "kwarg": {"saltenv": saltenv, "pillar": dict(pillar), "orchestration_jid": jid},
        }
        pub = {"jid": jid, "tag": f"salt/run/{jid}"}
        client.asynchronous("state.orchestrate", low, user=PILLAR_KEY, pub=pub)
        self._asked[jid] = time.monotonic()

    def result(self, jid: str) -> Any:
        """The job's return, or None while it runs. Read from the job cache: an event can be missed."""
        if (
            jid not in self._returned
            and time.monotonic() - self._asked.get(jid, 0.0) > self._ask_every
        ):
            self._asked[jid] = time.monotonic()
            cached = self._cached(jid)
            if cached is not None:
                self._returned[jid] = cached
        return self._returned.get(jid)

    def is_dead(self, jid: str) -> bool:
        """Whether its process was seen, is gone for some seconds, and has returned nothing."""
        moment = time.monotonic()
        if moment - self._looked > LOOK_S:
            self._looked = moment
            running = running_jobs.running(self._opts)
            alive = [job for job in self._asked if any(runner.does(job) for runner in running)]
            self._seen.update(dict.fromkeys(alive, moment))
        gone = moment - self._seen.get(jid, moment) > GONE_S
        return gone and self._cached(jid) is None

    def _cached(self, jid: str) -> Any:
        import salt.loader

        returners = salt.loader.returners(dict(self._opts), {})
        found = returners[f"{self._opts['master_job_cache']}.get_jid"](jid)
        for value in found.values():
            answer = value.get("return", value) if isinstance(value, dict) else value
            return answer.get("return", answer) if isinstance(answer, dict) else answer
        return None
