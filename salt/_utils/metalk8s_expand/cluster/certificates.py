"""Read the certificates of many nodes from their minions in parallel, within a bounded time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.clients.salt import minion_contact
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.domain.certificates import expiry
from metalk8s_expand.domain.certificates.expiry import Answer
from metalk8s_expand.errors import UnreachableError

FUNCTION = "metalk8s_expand_host.certificates"
# The most minions that one job addresses.
CHUNK = 1_000


def observed(minions: Minions, names: Sequence[str]) -> dict[str, Answer | str]:
    """Return the answer of each node, or the reason why it gave none.

    Each thousand minions take about ten seconds when some are down.
    """
    answers: dict[str, Answer | str] = {}
    for start in range(0, len(names), CHUNK):
        chosen = names[start : start + CHUNK]
        try:
            replies = minions.ask(chosen, FUNCTION, [])
        except UnreachableError as error:
            return {**answers, **dict.fromkeys(names[start:], error.message)}
        accepted = minions.accepted(chosen)
        for name in chosen:
            answers[name] = _answer(name, replies.get(name), name in accepted)
    return answers


def overview(answers: Mapping[str, Answer | str]) -> dict[str, dict[str, Any]]:
    """Return for each node the certificate that ends first, or why it is ``unknown``.

    The keys are ``first``, ``not_after`` and ``days_left``.
    """
    return {name: _row(answer) for name, answer in answers.items()}


def _row(answer: Answer | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"unknown": answer}
    return expiry.first(answer) or {"unknown": "it has no readable certificate"}


def _answer(name: str, reply: Any, accepted: bool) -> Answer | str:
    if reply is None or reply is False:
        return minion_contact.SILENT if accepted else minion_contact.NO_KEY
    if isinstance(reply, Mapping):
        return reply
    words = str(reply).strip().splitlines() or ["nothing"]
    if "is not available" in words[-1]:
        return (
            f"its minion has an older library: salt {name} saltutil.sync_all"
            " saltenv=metalk8s-VERSION"
        )
    return f"its minion answers: {words[-1][:200]}"
