"""Orchestrations: start one as a job of the master, and read its result."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.salt import running_jobs
from metalk8s_expand.clients.salt.pillar import PILLAR_KEY
from metalk8s_expand.clients.salt.state_events import StateEvents

log = logging.getLogger(__name__)

# Seconds between two listings of the running jobs, and until an unlisted job is gone.
LOOK_S, GONE_S = 3.0, 15.0


def prepare_ssh(opts: Mapping[str, Any]) -> None:
    """Create salt-ssh's key and the files that it sends to every host (thin, modules).

    Several salt-ssh processes would write the same files at once. A process that finds a partial
    file sends it, and the host then returns no answer.
    """
    import salt.client.ssh
    import salt.client.ssh.shell
    import salt.fileclient
    import salt.utils.thin

    own = copy.deepcopy(dict(opts))
    # With this option salt-ssh would rely on the master's maintenance process, which updates the
    # file servers for processes of the master only.
    own.pop("__fs_update", None)
    ensure_roster_file(own)
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


def ensure_roster_file(opts: Mapping[str, Any]) -> None:
    """Create an empty roster file if there is none.

    salt-ssh opens this file, whatever the roster, if the name of its target resolves. It fails
    without the file, which no package installs in MetalK8s's container.
    """
    path = Path(opts.get("roster_file") or Path(opts.get("config_dir", "/etc/salt")) / "roster")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("{}\n")
    except FileExistsError:
        return
    except OSError as error:
        log.warning("%s cannot be created, and salt-ssh may need it: %s", path, error.strerror)


class Orchestrations:
    """``state.orchestrate`` jobs, each in its own process that outlives its starter.

    Only one thread may use an object: Salt forks to start a job, which is unsafe with threads.
    """

    def __init__(self, opts: Mapping[str, Any], ask_every: float = 0.4) -> None:
        self._opts = dict(opts)
        self._ask_every = ask_every
        self._asked: dict[str, float] = {}
        self._returned: dict[str, Any] = {}
        self._seen: dict[str, float] = {}
        self._looked = 0.0
        self._events = StateEvents(opts)

    def new(self) -> str:
        """Return the ID of the next job."""
        import salt.utils.jid

        return str(salt.utils.jid.gen_jid(self._opts))

    def start(self, jid: str, sls: str, saltenv: str, pillar: Mapping[str, Any]) -> None:
        """Start an orchestration, which continues to run when this process ends."""
        import salt.runner

        self._events.close()
        self._events.expect(jid)
        client = salt.runner.RunnerClient(copy.deepcopy(self._opts))
        low = {
            "arg": [sls],
            "kwarg": {"saltenv": saltenv, "pillar": dict(pillar), "orchestration_jid": jid},
        }
        pub = {"jid": jid, "tag": f"salt/run/{jid}"}
        try:
            client.asynchronous("state.orchestrate", low, user=PILLAR_KEY, pub=pub)
        finally:
            # The first versions of Salt 3006 have no such function and nothing to close.
            getattr(client, "destroy", lambda: None)()
        self._asked[jid] = time.monotonic()

    def result(self, jid: str) -> Any:
        """Return the job's result, or None while it runs.

        The source is the job cache, because an event can be lost.
        """
        if (
            jid not in self._returned
            and time.monotonic() - self._asked.get(jid, 0.0) > self._ask_every
        ):
            self._asked[jid] = time.monotonic()
            cached = self._cached(jid)
            if cached is not None:
                self._returned[jid] = cached
        return self._returned.get(jid)

    def begun_states(self, jid: str) -> list[str]:
        """Return the names of the states that have begun since the last call, as events say."""
        return self._events.begun(jid)

    def forget_states(self, jid: str) -> None:
        """Read no further events of a job."""
        self._events.forget(jid)

    def is_dead(self, jid: str) -> bool:
        """Return whether the job's process is gone for some seconds without a result."""
        moment = time.monotonic()
        if moment - self._looked > LOOK_S:
            self._looked = moment
            running = running_jobs.running(self._opts)
            for job in self._asked:
                if any(runner.does(job) for runner in running):
                    self._seen[job] = moment
        gone = moment - self._seen.get(jid, moment) > GONE_S
        return gone and self._cached(jid) is None

    @cached_property
    def _returners(self) -> Any:
        import salt.loader

        return salt.loader.returners(dict(self._opts), {})

    def _cached(self, jid: str) -> Any:
        returns = self._returners[f"{self._opts['master_job_cache']}.get_jid"](jid)
        for value in returns.values():
            answer = value.get("return", value) if isinstance(value, dict) else value
            return answer.get("return", answer) if isinstance(answer, dict) else answer
        return None
