"""Which Pods of a Node must leave it, and which may not without the operator's word, as ``kubectl drain`` judges them.

Static Pods end with their host, and a DaemonSet would put its Pod back: both are left alone. What has no controller, or
keeps data in the Node's own disk, is gone for good once it is evicted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Object = Mapping[str, Any]
Pod = TypeVar("Pod", bound=Object)
# Namespace and name of a claim.
Claim = tuple[str, str]

MIRROR = "kubernetes.io/config.mirror"
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Allowed:
    """What the operator gives up by name."""

    delete_emptydir_data: bool = False
    delete_bare_pods: bool = False
    delete_local_volumes: bool = False


def leaving(pods: Iterable[Pod]) -> list[Pod]:
    """Those that a drain has to move."""
    return [pod for pod in pods if not _stays(pod)]


def obstacles(
    pods: Iterable[Object], allowed: Allowed, local_claims: Collection[Claim] = ()
) -> list[str]:
    """Why these Pods may not be evicted, one sentence each, with the option that allows it."""
    found: list[str] = []
    for pod in leaving(pods):
        if not (allowed.delete_bare_pods or _ended(pod) or controller(pod)):
            found.append(
                f"Pod {title(pod)} has no controller, nobody would start it again: delete_bare_pods=True"
            )
        volumes = [] if allowed.delete_emptydir_data or _ended(pod) else _empty_directories(pod)
        if volumes:
            found.append(
                f"Pod {title(pod)} has data in emptyDir {', '.join(volumes)}: delete_emptydir_data=True"
            )
        local = (
            []
            if allowed.delete_local_volumes
            else [claim for claim in claims(pod) if claim in local_claims]
        )
        if local:
            names = ", ".join(name for _, name in local)
            found.append(
                f"Pod {title(pod)} has its claim {names} on a disk of this node: delete_local_volumes=True"
            )
    return found


def claims(pod: Object) -> list[Claim]:
    """The PersistentVolumeClaims of a Pod; those of generic ephemeral volumes have the Pod's name before theirs."""
    namespace, own = _metadata(pod).get("namespace", ""), _metadata(pod).get("name", "")
    found = []
    for volume in _volumes(pod):
        if volume.get("persistentVolumeClaim"):
            found.append(
                (str(namespace), str(volume["persistentVolumeClaim"].get("claimName", "")))
            )
        elif volume.get("ephemeral"):
            found.append((str(namespace), f"{own}-{volume.get('name', '')}"))
    return found


def is_local(volume: Object) -> bool:
    """Whether a PersistentVolume is a disk or a directory of one node."""
    spec = volume.get("spec") or {}
    return bool(spec.get("local") or spec.get("hostPath"))


def title(pod: Object) -> str:
    """Namespace and name."""
    return f"{_metadata(pod).get('namespace', '')}/{_metadata(pod).get('name', '')}"


def identity(pod: Object) -> str:
    """A Pod that took another one's name is another one."""
    return str(_metadata(pod).get("uid") or title(pod))


def is_terminating(pod: Object) -> bool:
    """Whether it was told to end."""
    return bool(_metadata(pod).get("deletionTimestamp"))


def controller(pod: Object) -> str:
    """The kind of what made the Pod and would make it again."""
    owners: Sequence[Object] = _metadata(pod).get("ownerReferences") or ()
    return next((str(owner.get("kind", "")) for owner in owners if owner.get("controller")), "")


def _stays(pod: Object) -> bool:
    if MIRROR in (_metadata(pod).get("annotations") or {}):
        return True
    return controller(pod) == "DaemonSet" and not _ended(pod)


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ENDED


def _empty_directories(pod: Object) -> list[str]:
    return [
        str(volume.get("name", ""))
        for volume in _volumes(pod)
        if volume.get("emptyDir") is not None
    ]


def _volumes(pod: Object) -> Sequence[Object]:
    return (pod.get("spec") or {}).get("volumes") or ()


def _metadata(pod: Object) -> Object:
    return pod.get("metadata") or {}
