"""Rules of a drain: which Pods to evict, and which only with the operator's consent.

The rules are those of ``kubectl drain``. Static Pods stop with their host, and a DaemonSet would
recreate its Pod, so a drain ignores both. The eviction of a Pod that has no controller, or that
keeps data on the Node's disk, loses the Pod or its data permanently.
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
    """The losses that the operator allows, each by its own option.

    ``volumes`` allows the removal of a node that has Volumes of the storage operator.
    """

    delete_emptydir_data: bool = False
    delete_bare_pods: bool = False
    delete_local_volumes: bool = False
    volumes: bool = False


def leaving(pods: Iterable[Pod]) -> list[Pod]:
    """Return the Pods that a drain must evict."""
    return [pod for pod in pods if not _stays(pod)]


def obstacles(
    pods: Iterable[Object], allowed: Allowed, local_claims: Collection[Claim] = ()
) -> list[str]:
    """Return why these Pods may not be evicted, one sentence each, with the option that allows it.

    ``local_claims`` are the claims whose volumes are on disks of this node.
    """
    problems: list[str] = []
    for pod in leaving(pods):
        if not (allowed.delete_bare_pods or _ended(pod) or controller(pod)):
            problems.append(
                f"Pod {title(pod)} has no controller that would create it again:"
                " delete_bare_pods=True"
            )
        volumes = [] if allowed.delete_emptydir_data or _ended(pod) else _empty_directories(pod)
        if volumes:
            problems.append(
                f"Pod {title(pod)} has data in emptyDir {', '.join(volumes)}:"
                " delete_emptydir_data=True"
            )
        local: list[str] = []
        if not allowed.delete_local_volumes:
            for namespace, name in claims(pod):
                if (namespace, name) in local_claims:
                    local.append(name)
        if local:
            problems.append(
                f"Pod {title(pod)} uses the claim {', '.join(local)} on a disk of this node: "
                "delete_local_volumes=True"
            )
    return problems


def claims(pod: Object) -> list[Claim]:
    """Return the PersistentVolumeClaims of a Pod.

    The claim of a generic ephemeral volume is named after the Pod and the volume.
    """
    namespace = str(_metadata(pod).get("namespace", ""))
    own = _metadata(pod).get("name", "")
    pod_claims = []
    for volume in _volumes(pod):
        if volume.get("persistentVolumeClaim"):
            name = str(volume["persistentVolumeClaim"].get("claimName", ""))
            pod_claims.append((namespace, name))
        elif volume.get("ephemeral"):
            pod_claims.append((namespace, f"{own}-{volume.get('name', '')}"))
    return pod_claims


def is_local(volume: Object) -> bool:
    """Return whether a PersistentVolume is a disk or a directory of one node."""
    spec = volume.get("spec") or {}
    return bool(spec.get("local") or spec.get("hostPath"))


def title(pod: Object) -> str:
    """Return the namespace and the name of a Pod, as ``namespace/name``."""
    return f"{_metadata(pod).get('namespace', '')}/{_metadata(pod).get('name', '')}"


def identity(pod: Object) -> str:
    """Return the UID of a Pod (or its title), because a new Pod can have the name of an old one."""
    return str(_metadata(pod).get("uid") or title(pod))


def is_terminating(pod: Object) -> bool:
    """Return whether the Pod has a deletion timestamp."""
    return bool(_metadata(pod).get("deletionTimestamp"))


def controller(pod: Object) -> str:
    """Return the kind of the controller that would recreate the Pod; empty if there is none."""
    owners: Sequence[Object] = _metadata(pod).get("ownerReferences") or ()
    return next((str(owner.get("kind", "")) for owner in owners if owner.get("controller")), "")


def _stays(pod: Object) -> bool:
    if MIRROR in (_metadata(pod).get("annotations") or {}):
        return True
    return controller(pod) == "DaemonSet" and not _ended(pod)


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ENDED


def _empty_directories(pod: Object) -> list[str]:
    names = []
    for volume in _volumes(pod):
        if volume.get("emptyDir") is not None:
            names.append(str(volume.get("name", "")))
    return names


def _volumes(pod: Object) -> Sequence[Object]:
    return (pod.get("spec") or {}).get("volumes") or ()


def _metadata(pod: Object) -> Object:
    return pod.get("metadata") or {}
