"""Commands to minions through the Salt master, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, poll_until
from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.errors import DeadlineError, UnreachableError, visible_tree

# After ANSWER_S seconds Salt asks the minions without an answer whether the job still runs. It
# continues to wait for those that confirm it within RUNNING_S seconds.
ANSWER_S, RUNNING_S = 5, 5
# Salt itself waits without end for a job that hangs, as long as the minion says that it runs.
LIMIT_S = 60.0
# Salt's iterator of returns does not pause while there is none.
POLL_S = 0.02


class Minions:
    """The minions as the master sees them."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)

    def ping(self, minion: str, timeout: int = 2) -> bool:
        """Return whether the minion answers within about twice ``timeout`` seconds."""
        import salt.client

        # Read the options from the file: the states of an orchestration get the options of a
        # minion, and with these the master finds no minions.
        with salt.client.get_local_client(c_path=str(self._opts["conf_file"])) as client:
            # By default Salt waits ten more seconds to ask a minion that is not there yet whether
            # the job still runs.
            answer = client.cmd(
                minion, "test.ping", timeout=timeout, tgt_type="list", gather_job_timeout=1
            )
        return answer.get(minion) is True

    def accepted(self, names: Iterable[str] | None = None) -> set[str]:
        """Return those of these minions whose keys the master has accepted, or all of them."""
        known = set(Keys(self._opts).accepted())
        return known if names is None else known.intersection(names)

    def ask(
        self,
        minions: Iterable[str],
        function: str,
        arguments: Sequence[Any],
        limit_s: float = LIMIT_S,
    ) -> dict[str, Any]:
        """Run one job on those of the minions that are accepted, and return the answers by minion.

        An answer may be an error text of Salt. A minion that has not answered has no entry. Salt
        does not wait for a minion that has not answered after some seconds and does not know the
        job. The call therefore takes as long as the function, plus some seconds, and at most
        ``limit_s`` seconds: a job that hangs on one minion continues there. Control characters of
        the answers are escapes. Raises UnreachableError when no master can send the job.
        """
        import salt.client
        import salt.exceptions

        accepted = self.accepted()
        chosen = [minion for minion in minions if minion in accepted]
        if not chosen:
            # Salt would print on stdout that no minion matched.
            return {}
        answers: dict[str, Any] = {}
        wait = Wait(f"the answers to {function}", limit_s, interval=POLL_S)
        try:
            with salt.client.get_local_client(c_path=str(self._opts["conf_file"])) as client:
                job = client.cmd_iter_no_block(
                    chosen,
                    function,
                    arg=list(arguments),
                    timeout=ANSWER_S,
                    tgt_type="list",
                    gather_job_timeout=RUNNING_S,
                )
                with suppress(DeadlineError):
                    poll_until(wait, lambda: _received(job, chosen, answers), Clock())
        except salt.exceptions.SaltException as exc:
            raise UnreachableError(
                f"the Salt master cannot contact {', '.join(chosen)}: {exc}",
                hint="check that salt-master runs, and that this command runs as its user",
                log="/var/log/salt/master",
            ) from exc
        return dict(visible_tree(answers))

    def grains(self, minions: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the last grains of each minion in the master's cache; a minion can report any
        value.
        """
        import salt.cache

        if not self._opts.get("minion_data_cache", False):
            return
        cache = salt.cache.factory(dict(self._opts))
        for minion in minions:
            # Salt 3008 and later have one cache bank, older versions have one for each minion.
            grains = cache.fetch("grains", minion) or (
                cache.fetch(f"minions/{minion}", "data") or {}
            ).get("grains")
            if isinstance(grains, dict) and grains:
                yield minion, grains


def _received(
    job: Iterator[Any], chosen: Sequence[str], answers: dict[str, Any]
) -> dict[str, Any] | Pending:
    """Add the answers that are there; return all of them when the job has ended."""
    for returned in job:
        if returned is None:
            return Pending(())
        answers.update(_returns(returned, chosen))
    return answers


def _returns(returned: Any, chosen: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the minions and values of what Salt's iterator of returns yields."""
    for minion, answer in (returned if isinstance(returned, Mapping) else {}).items():
        if minion in chosen and isinstance(answer, Mapping) and "ret" in answer:
            yield minion, answer["ret"]
