"""Find out whether the master reaches minions, with a bounded number of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metalk8s_expand.clients.salt.minions import Minions

NO_KEY = "the master has no accepted key of its minion"
SILENT = "its minion does not answer the master"
PING = "test.ping"
# The most minions that one job addresses.
CHUNK = 1_000
# A minion that is busy may miss one job.
ATTEMPTS = 2


def unreached_minions(minions: Minions, names: Sequence[str]) -> dict[str, str]:
    """Return why the master does not reach each of these minions; a reached minion is left out.

    Raises UnreachableError if no master can send the job.
    """
    accepted = minions.accepted(names)
    asked = [name for name in names if name in accepted]
    silent = set(silent_minions(minions, asked))
    reasons = {}
    for name in names:
        if name not in accepted:
            reasons[name] = NO_KEY
        elif name in silent:
            reasons[name] = SILENT
    return reasons


def silent_minions(minions: Minions, names: Sequence[str]) -> list[str]:
    """Return those of these accepted minions that answer no job.

    All minions of a chunk share one job. It takes some ten seconds if a minion is down.
    """
    silent = list(names)
    for _ in range(ATTEMPTS):
        silent = list(_without_answer(minions, silent))
    return silent


def _without_answer(minions: Minions, names: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(names), CHUNK):
        chosen = names[start : start + CHUNK]
        answers = minions.ask(chosen, PING, [])
        yield from (name for name in chosen if answers.get(name) is not True)
