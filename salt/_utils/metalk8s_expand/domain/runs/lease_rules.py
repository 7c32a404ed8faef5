"""Rules of the Lease: who holds it, and when one of several candidates may take it over.

The rules never compare the clocks of two hosts. A candidate takes the Lease over if, by its own
monotonic clock, it has seen no renewal for the holder's lease duration. The times in the Lease do
not matter. If the holder was a process on the candidate's own host and has ended, the candidate
takes the Lease over at once. A holder measures its time from before it sent its last renewal, and
stops a tenth of the duration before a candidate may take over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from metalk8s_expand.errors import LockedError, visible

NAMESPACE = "kube-system"
NAME = "metalk8s-expand"
DURATION_S = 60

# The margin covers a change that is already in progress and clocks of slightly different speed.
SAFE_SHARE = 0.9
RENEWALS = 3

PREFIX = "metalk8s-expand.scality.com/"
# The first epoch of a Lease is the number of seconds since 2020, so that a Lease that is created
# again after its deletion has a higher epoch.
EPOCHS_BEGIN = 1577836800

Object = Mapping[str, Any]


class LockLostError(LockedError):
    """This run has lost the lock. Unlike a run that waits for the lock, it must not retry."""

    retry: ClassVar[bool] = False


@dataclass(frozen=True)
class LeaseHolder:
    """A holder of the Lease, or a candidate for it.

    ``identity`` is unique to this run. ``process`` lets other processes on the same host see that
    the holder has ended; it is empty where they cannot see that. The other fields are for people.
    """

    identity: str
    host: str
    user: str
    run: str
    doing: str
    process: str = ""

    def annotations(self) -> dict[str, str | None]:
        """Return the annotations of the Lease that describe the holder."""
        return {
            **{f"{PREFIX}{key}": getattr(self, key) for key in _SHOWN},
            PROCESS: self.process or None,
        }


_SHOWN = ("host", "user", "run", "doing")
STOP, PROCESS = f"{PREFIX}stop", f"{PREFIX}process"


@dataclass(frozen=True)
class Lease:
    """The fields of the Lease that the rules use; ``stored`` is the whole object."""

    holder: str
    epoch: int
    acquired: str
    renewed: str
    duration: float
    version: tuple[str, str]
    stored: Object = field(compare=False)

    @classmethod
    def from_stored(cls, stored: Object) -> Lease:
        """Return the fields of any Lease, even of one that an operator created by hand."""
        spec, metadata = stored.get("spec") or {}, _metadata(stored)
        return cls(
            visible(spec.get("holderIdentity") or ""),
            int(spec.get("leaseTransitions") or 0),
            str(spec.get("acquireTime") or ""),
            str(spec.get("renewTime") or ""),
            float(spec.get("leaseDurationSeconds") or DURATION_S),
            (str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")),
            stored,
        )

    @property
    def title(self) -> str:
        """The description of the holder in messages."""
        doing, run, user = (value or "?" for value in (self.doing, self.run, self.user))
        host = self._annotation(f"{PREFIX}host", "?")
        return (
            f"{doing} (run {run} of {user} on {host}, {self.holder}), since {self.acquired}, last"
            f" renewed {self.renewed}"
        )

    @property
    def stop(self) -> str:
        """Who requested that the holder stop, and when; empty without a request."""
        return self._annotation(STOP)

    @property
    def process(self) -> str:
        """The holder's process, for other processes on its host."""
        return self._annotation(PROCESS)

    @property
    def run(self) -> str:
        """The ID of the holder's run; empty if unknown."""
        return self._annotation(f"{PREFIX}run")

    @property
    def doing(self) -> str:
        """The holder's command and its nodes; empty if unknown."""
        return self._annotation(f"{PREFIX}doing")

    @property
    def user(self) -> str:
        """The user of the holder's process; empty if unknown."""
        return self._annotation(f"{PREFIX}user")

    @property
    def host(self) -> str:
        """The holder's host, for people."""
        return self._annotation(f"{PREFIX}host", "the holder's host")

    def _annotation(self, key: str, default: str = "") -> str:
        annotations = _metadata(self.stored).get("annotations") or {}
        return visible(annotations.get(key) or default)


def of(stored: Object | None) -> Lease | None:
    """Return the fields of the stored Lease, or None if there is no Lease."""
    return None if stored is None else Lease.from_stored(stored)


@dataclass(frozen=True)
class RenewalWatch:
    """The state of the Lease that a candidate saw last, and since when by its own clock."""

    seen: tuple[object, ...] = ()
    since: float = 0.0

    def saw(self, lease: Lease, moment: float) -> RenewalWatch:
        """Return the watch after the API server answered at ``moment``.

        Any write counts as a renewal, because the holder's clock may jump back and repeat a time.
        """
        mark = (lease.version, lease.holder, lease.epoch, lease.renewed)
        return self if mark == self.seen else RenewalWatch(mark, moment)

    def may_take(self, lease: Lease, identity: str, moment: float) -> bool:
        """Return whether the candidate may take the Lease that it saw last.

        It may if the Lease has no holder, if the candidate holds it, or if it has expired.
        """
        return lease.holder in ("", identity) or moment - self.since > lease.duration


def is_over(confirmed: float, duration: float, moment: float) -> bool:
    """Return whether a holder must stop that sent its last successful renewal at ``confirmed``."""
    return moment - confirmed >= SAFE_SHARE * duration


def taken(
    lease: Lease | None, claim: LeaseHolder, stamp: str, now: float, duration: int
) -> dict[str, Any]:
    """Return the Lease to write in order to acquire it.

    ``now`` is in seconds of the wall clock; ``stamp`` is the same time in the API's format.
    """
    spec = {
        "holderIdentity": claim.identity,
        "leaseDurationSeconds": duration,
        "acquireTime": stamp,
        "renewTime": stamp,
    }
    if lease is None:
        spec["leaseTransitions"] = max(1, int(now) - EPOCHS_BEGIN)
        shown = {key: value for key, value in claim.annotations().items() if value is not None}
        metadata = {"name": NAME, "namespace": NAMESPACE, "annotations": shown}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
    if lease.holder == claim.identity:
        # The claim was already written: the reply to the earlier request was lost.
        return renewed(lease, stamp)
    spec["leaseTransitions"] = lease.epoch + 1
    return _changed(lease, spec, {**claim.annotations(), STOP: None})


def renewed(lease: Lease, stamp: str) -> dict[str, Any]:
    """Return the Lease to write in order to renew it."""
    return _changed(lease, {"renewTime": stamp})


def released(lease: Lease, stamp: str) -> dict[str, Any]:
    """Return the Lease to write in order to release it.

    Any candidate may acquire it at once. Its epoch stays, so that the next epoch is higher.
    """
    return _changed(lease, {"holderIdentity": None, "renewTime": stamp}, dict.fromkeys(_OURS))


def stopping(lease: Lease, who: str) -> dict[str, Any]:
    """Return the Lease with the request that its holder stop.

    The holder reads the request with its next renewal, before its next step.
    """
    return _changed(lease, {}, {STOP: who})


_OURS = (*(PREFIX + key for key in _SHOWN), STOP, PROCESS)


def _changed(lease: Lease, spec: Object, annotations: Object | None = None) -> dict[str, Any]:
    """Return the stored Lease with these differences.

    Its resourceVersion makes the write a compare-and-swap.
    """
    metadata = dict(_metadata(lease.stored))
    merged = {**(metadata.get("annotations") or {}), **(annotations or {})}
    metadata["annotations"] = {key: value for key, value in merged.items() if value is not None}
    return {
        **lease.stored,
        "metadata": metadata,
        "spec": {**(lease.stored.get("spec") or {}), **spec},
    }


def _metadata(stored: Object) -> Object:
    return stored.get("metadata") or {}
