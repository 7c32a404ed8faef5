"""Who holds the Lease, and whether it may be taken over: the rules that let one of many candidates in.

Clocks of two hosts are never compared. A candidate takes the Lease over when by its own monotonic clock it has seen no
renewal for as long as the holder asked for, whatever the times in it say; or at once, when the holder was a process of the
candidate's own host and that has ended. A holder counts from before its last renewal
was sent, and stops a tenth of the time before anybody else may begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from metalk8s_expand.errors import LockedError

NAMESPACE = "kube-system"
NAME = "metalk8s-expand"
DURATION_S = 60

# A change that was allowed takes its moment, and two clocks do not run at quite the same speed.
SAFE_SHARE = 0.9
RENEWALS = 3

PREFIX = "metalk8s-expand.scality.com/"
# The first epoch of a Lease is the seconds since 2020: one that was deleted comes back with a higher epoch.
EPOCHS_BEGIN = 1577836800

Object = Mapping[str, Any]


class LockLostError(LockedError):
    """The lock was this run's and is no more: unlike one that waits for it, the run has nothing to wait for."""

    retry: ClassVar[bool] = False


@dataclass(frozen=True)
class LeaseHolder:
    """Who wants the Lease; ``identity`` is of this run alone, the rest is for people.

    But for ``process``, by which others of the same host see that it has ended; nothing where that cannot be seen.
    """

    identity: str
    host: str
    user: str
    run: str
    doing: str
    process: str = ""

    def annotations(self) -> dict[str, str | None]:
        """As they stand on the Lease."""
        return {
            **{f"{PREFIX}{key}": getattr(self, key) for key in _SHOWN},
            PROCESS: self.process or None,
        }


_SHOWN = ("host", "user", "run", "doing")
STOP, PROCESS = f"{PREFIX}stop", f"{PREFIX}process"


@dataclass(frozen=True)
class Lease:
    """The Lease as far as it decides something; ``stored`` is all of it."""

    holder: str
    epoch: int
    acquired: str
    renewed: str
    duration: float
    version: tuple[str, str]
    stored: Object = field(compare=False)

    @classmethod
    def from_stored(cls, stored: Object) -> Lease:
        """Any Lease, also one that somebody else made by hand."""
        spec, metadata = stored.get("spec") or {}, _metadata(stored)
        return cls(
            str(spec.get("holderIdentity") or ""),
            int(spec.get("leaseTransitions") or 0),
            str(spec.get("acquireTime") or ""),
            str(spec.get("renewTime") or ""),
            float(spec.get("leaseDurationSeconds") or DURATION_S),
            (str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")),
            stored,
        )

    @property
    def title(self) -> str:
        """How a message names the holder."""
        known = _metadata(self.stored).get("annotations") or {}
        doing, run, user, host = (
            known.get(PREFIX + key) or "?" for key in ("doing", "run", "user", "host")
        )
        return f"{doing} (run {run} of {user} on {host}, {self.holder}), since {self.acquired}, last renewed {self.renewed}"

    @property
    def stop(self) -> str:
        """Who asked the holder to stop, and when; nothing when nobody did."""
        return str((_metadata(self.stored).get("annotations") or {}).get(STOP) or "")

    @property
    def process(self) -> str:
        """The holder's process, for others of its host."""
        return str((_metadata(self.stored).get("annotations") or {}).get(PROCESS) or "")

    @property
    def run(self) -> str:
        """The ID of the holder's run, as far as it is known."""
        return str((_metadata(self.stored).get("annotations") or {}).get(f"{PREFIX}run") or "")

    @property
    def host(self) -> str:
        """The holder's host, for people."""
        return str(
            (_metadata(self.stored).get("annotations") or {}).get(f"{PREFIX}host")
            or "the holder's host"
        )


def of(stored: Object | None) -> Lease | None:
    """The Lease that was read, if there was one."""
    return None if stored is None else Lease.from_stored(stored)


@dataclass(frozen=True)
class RenewalWatch:
    """What a candidate saw last, and since when by its own clock it has seen nothing else."""

    seen: tuple[object, ...] = ()
    since: float = 0.0

    def saw(self, lease: Lease, moment: float) -> RenewalWatch:
        """After an answer of the API came at ``moment``. Any write counts: a holder's date may jump back and repeat itself."""
        mark = (lease.version, lease.holder, lease.epoch, lease.renewed)
        return self if mark == self.seen else RenewalWatch(mark, moment)

    def may_take(self, lease: Lease, identity: str, moment: float) -> bool:
        """Whether the Lease that was just seen is nobody's, the candidate's own, or that of a holder who is gone."""
        return lease.holder in ("", identity) or moment - self.since > lease.duration


def is_over(confirmed: float, duration: float, moment: float) -> bool:
    """Whether a holder whose last successful renewal was sent at ``confirmed`` must stop."""
    return moment - confirmed >= SAFE_SHARE * duration


def taken(
    found: Lease | None, claim: LeaseHolder, stamp: str, now: float, duration: int
) -> dict[str, Any]:
    """The Lease to be written to hold it; ``stamp`` is ``now``, the seconds of the wall clock, as the API writes it."""
    spec = {
        "holderIdentity": claim.identity,
        "leaseDurationSeconds": duration,
        "acquireTime": stamp,
        "renewTime": stamp,
    }
    if found is None:
        spec["leaseTransitions"] = max(1, int(now) - EPOCHS_BEGIN)
        shown = {key: value for key, value in claim.annotations().items() if value is not None}
        metadata = {"name": NAME, "namespace": NAMESPACE, "annotations": shown}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
    if found.holder == claim.identity:
        # The reply to our own request was lost.
        return renewed(found, stamp)
    spec["leaseTransitions"] = found.epoch + 1
    return _changed(found, spec, {**claim.annotations(), STOP: None})


def renewed(lease: Lease, stamp: str) -> dict[str, Any]:
    """The Lease with its next renewal."""
    return _changed(lease, {"renewTime": stamp})


def released(lease: Lease, stamp: str) -> dict[str, Any]:
    """The Lease that anybody may take at once; its epoch stays, so that the next one is higher."""
    return _changed(lease, {"holderIdentity": None, "renewTime": stamp}, dict.fromkeys(_OURS))


def stopping(lease: Lease, who: str) -> dict[str, Any]:
    """The Lease with the request that its holder stop; the holder reads it with its next renewal, before its next step."""
    return _changed(lease, {}, {STOP: who})


_OURS = (*(PREFIX + key for key in _SHOWN), STOP, PROCESS)


def _changed(lease: Lease, spec: Object, annotations: Object | None = None) -> dict[str, Any]:
    """All that is stored with these differences; the resourceVersion in it makes the write a compare-and-swap."""
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
