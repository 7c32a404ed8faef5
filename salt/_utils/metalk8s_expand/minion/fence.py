"""Prevent a run that has lost the lock from changing a host, which a Lease alone cannot do.

A frozen run resumes where it stopped, and the jobs that it has started continue without it. So each
job carries the fencing epoch of its run, and each holder of the lock has a higher epoch than all
earlier holders. A host refuses jobs whose epoch is older than the newest that it has seen. A job
without an epoch was started by hand, which is the operator's decision: it passes.
"""

from __future__ import annotations

from typing import Any

from metalk8s_expand.clients.host.epoch_file import EpochFile
from metalk8s_expand.domain.runs.lease_rules import NAME, NAMESPACE, LockLostError
from metalk8s_expand.errors import SettingsError

PATH = "/etc/metalk8s/expand-epoch"


def check_fencing_epoch(path: str, epoch: object, test: bool = False) -> dict[str, Any]:
    """Admit a job of this epoch, store the epoch on the host, and return the changes (with
    ``test``, the pending ones).

    Raises LockLostError if a newer run has worked on this host already.
    """
    wanted = _epoch(epoch)
    if wanted is None:
        return {}
    file = EpochFile(path)
    if test:
        return _changes(path, file.read(), wanted)
    with file.locked():
        changes = _changes(path, file.read(), wanted)
        if changes:
            file.write(wanted)
    return changes


def _changes(path: str, stored: int | None, wanted: int) -> dict[str, Any]:
    if stored is not None and stored > wanted:
        raise LockLostError(
            f"this job has the epoch {wanted}, but a job with the epoch {stored} has already run "
            "on this host: the run of this job has lost the lock to a newer run, "
            "so nothing was changed",
            hint=(
                "show the newer run: salt-run metalk8s_expand.status. If the host comes from"
                " another cluster, or etcd was restored from an older snapshot: kubectl -n"
                f" {NAMESPACE} delete lease {NAME}, remove {path} on this host, run the same"
                " command again"
            ),
            log="/var/log/salt/minion",
        )
    return {} if stored == wanted else {"epoch": {"old": stored, "new": wanted}}


def _epoch(value: object) -> int | None:
    """Return the epoch as a number; a pillar on the command line may hold it as text."""
    if value is None:
        return None
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise SettingsError(
            f"{value!r} is not an epoch",
            hint="omit orchestrate:epoch from the pillar when you deploy by hand",
        )
    return int(text)
