"""Commands to minions through the Salt master, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.errors import UnreachableError

# Salt asks those that have not answered by then whether the job still runs, and waits on for those that say so in time.
ANSWER_S, RUNNING_S = 5, 5


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
