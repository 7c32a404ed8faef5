"""Evaluate the certificates that nodes report: the first to expire, problems, and renewals.

An answer maps each purpose to the entry that ``metalk8s_expand_host.certificates`` returns. For a
node without an answer, a string gives the reason: an unknown state is a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.domain.certificates import signing_policies
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.domain.parsing.reader import Reader
from metalk8s_expand.domain.salt.saltenv import RENEWAL

Entry = Mapping[str, Any]
Answer = Mapping[str, Entry]
Answers = Mapping[str, "Answer | str"]

# Names for the master's kubeconfig if its certificate is not one of the nodes'; no node can have
# the name of MASTER.
KUBECONFIG, MASTER = "kubeconfig", "(this master)"
DAY = 86_400
MAX_DAYS = 3_650
RENEW = f"salt-run state.orchestrate {RENEWAL}"


@dataclass(frozen=True)
class Limits:
    """Days until expiry: fewer than ``error`` is a problem, fewer than ``warning`` a warning."""

    error: int = 7
    warning: int = 30


def read(reader: Reader) -> Limits:
    """Return the limits in the mapping ``certificates``; the reader notes its problems."""
    plain = Limits()
    days = scalars.integer(0, MAX_DAYS)
    error = reader.take("error_days", days, plain.error)
    warning = reader.take("warning_days", days, plain.warning)
    if warning < error:
        remedy = f"write at least {error}, the value of error_days"
        reader.note(reader.at("warning_days"), warning, "is smaller than error_days", remedy)
    reader.finish()
    return Limits(error, warning)


def first(answer: Answer) -> dict[str, Any] | None:
    """Return the certificate of known purpose, CAs included, that expires first.

    Return None if no certificate could be read.
    """
    ending = []
    for purpose, entry in _known(answer):
        if "seconds_left" in entry:
            ending.append((entry["seconds_left"], purpose))
    if not ending:
        return None
    seconds, purpose = min(ending)
    return {
        "first": purpose,
        "not_after": answer[purpose]["not_after"],
        "days_left": round(seconds / DAY, 2),
    }


def problems(answers: Answers, limits: Limits) -> list[str]:
    """Return one sentence per problem; unknown certificates are problems."""
    sentences: list[str] = []
    for node, answer in answers.items():
        sentences += _problems(node, answer, limits)
    return sentences


def warnings(answers: Answers, limits: Limits) -> list[str]:
    """Return one sentence per certificate that expires soon but is not a problem yet."""
    sentences = []
    for node, answer in answers.items():
        if isinstance(answer, str):
            continue
        for purpose, entry in _known(answer):
            if limits.error * DAY <= entry.get("seconds_left", -1) < limits.warning * DAY:
                sentences.append(_expires(_title(node, purpose), purpose, entry))
    return sentences


def stale_problems(answer: Answer) -> list[str]:
    """Return a sentence per port that does not serve the certificate on the disk."""
    sentences: list[str] = []
    for purpose, entry in answer.items():
        sentences += _served(purpose, entry)
    return sentences


def _problems(node: str, answer: Answer | str, limits: Limits) -> Iterator[str]:
    if isinstance(answer, str):
        yield f"the certificates of {node} are unknown: {answer}"
        return
    for purpose, entry in _known(answer):
        title = _title(node, purpose)
        for sentence in _file(purpose, entry):
            yield f"{title}: {sentence}"
        yield from _expiry(title, purpose, entry, limits)
        for sentence in _served(purpose, entry):
            yield f"{title}: {sentence}"


def _expiry(title: str, purpose: str, entry: Entry, limits: Limits) -> Iterator[str]:
    seconds = entry.get("seconds_left")
    if seconds is None:
        return
    if seconds <= 0:
        yield f"{title} expired on {entry['not_after']}: {_remedy(purpose)}"
    elif seconds < limits.error * DAY:
        yield _expires(title, purpose, entry)


def _expires(title: str, purpose: str, entry: Entry) -> str:
    return f"{title} expires on {entry['not_after']}, in {_left(entry)}: {_remedy(purpose)}"


def _file(purpose: str, entry: Entry) -> Iterator[str]:
    """Yield the reason why a process cannot use the file.

    A CA's key is on one node only. Any other key is next to its certificate.
    """
    if "error" in entry:
        yield f"{entry['path']}: {entry['error']}"
    elif entry.get("key", "fits") != "fits" and not (
        purpose in signing_policies.AUTHORITIES and entry["key"] == "is missing"
    ):
        yield f"{entry['path']}: its key {entry['key']}"


def _served(purpose: str, entry: Entry) -> Iterator[str]:
    served = entry.get("served")
    if served is None:
        return
    if "error" in served:
        yield f"port {served['port']}, which serves {purpose}, does not answer: {served['error']}"
    elif served["serial"] != entry["serial"]:
        yield (
            f"port {served['port']} serves another certificate than {entry['path']}; "
            f"the served one expires on {served['not_after']}"
        )


def _known(answer: Answer) -> Iterator[tuple[str, Entry]]:
    """Return the entries of known purposes.

    The directory may also contain old copies and certificates of other programs.
    """
    known = {*signing_policies.PATHS, *signing_policies.AUTHORITIES, KUBECONFIG}
    return ((purpose, entry) for purpose, entry in answer.items() if purpose in known)


def _title(node: str, purpose: str) -> str:
    return f"certificate {purpose} of {node}"


def _remedy(purpose: str) -> str:
    return (
        f"renew it: {RENEW}"
        if purpose in signing_policies.PATHS
        else "see the page Certificates of the documentation"
    )


def _left(entry: Entry) -> str:
    seconds = int(entry["seconds_left"])
    units: Sequence[tuple[str, int]] = (("days", DAY), ("hours", 3_600), ("minutes", 60))
    for unit, size in units:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
