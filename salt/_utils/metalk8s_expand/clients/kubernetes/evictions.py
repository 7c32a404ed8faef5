"""Kubernetes API calls that drain and delete a Node: Pods, evictions, volumes, the Node itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from metalk8s_expand.clients.kubernetes.objects import JsonObject, Kube
from metalk8s_expand.domain.removal import drain_rules
from metalk8s_expand.domain.removal.drain_rules import Claim
from metalk8s_expand.errors import ConflictError, DeployError, UnreachableError

PODS = "/api/v1/pods"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
# The storage operator of MetalK8s makes its Volumes on disks of one node.
VOLUMES = "/apis/storage.metalk8s.scality.com/v1alpha1/volumes"


class Eviction(Enum):
    """Result of an eviction: accepted, the Pod is gone, or a disruption budget blocks it."""

    ACCEPTED = "accepted"
    GONE = "gone"
    WAIT = "wait"


def pods_on(kube: Kube, node: str) -> list[JsonObject]:
    """Return the Pods of all namespaces that are bound to a Node."""
    return kube.listed(PODS, {"fieldSelector": f"spec.nodeName={node}"})


def evict(kube: Kube, pod: Mapping[str, Any]) -> tuple[Eviction, str]:
    """Request the eviction of the Pod with this UID and return the result and its reason.

    Raises DeployError when a retry cannot help: Kubernetes answers 500 when several
    PodDisruptionBudgets cover one Pod.
    """
    metadata = pod["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
    }
    status, reason = kube.answer("POST", f"{path}/eviction", body)
    if status < 300:
        return Eviction.ACCEPTED, ""
    # 409 means that the name now has another UID: the Pod that was read is gone.
    if status in (404, 409):
        return Eviction.GONE, reason
    if status == 429:
        return Eviction.WAIT, reason
    if status == 500:
        raise DeployError(
            f"the eviction of Pod {namespace}/{name} was answered 500: {reason}",
            hint=(
                f"let only one PodDisruptionBudget select the Pod: kubectl -n {namespace} get"
                " poddisruptionbudgets"
            ),
            log="/var/log/containers/kube-apiserver-*.log on the control-plane nodes",
        )
    raise UnreachableError(
        f"the eviction of Pod {namespace}/{name} was answered {status}: {reason}"
    )


def attachments(kube: Kube, node: str) -> list[str]:
    """Return the PersistentVolume names of the volumes that are still attached to a Node."""
    volumes = []
    for attachment in kube.listed(ATTACHMENTS):
        spec = attachment.get("spec") or {}
        if spec.get("nodeName") == node:
            volumes.append(_volume(spec))
    return sorted(volumes)


def volumes_on(kube: Kube, node: str) -> list[str]:
    """Return the names of the storage operator's Volumes on the disks of a Node, sorted.

    A cluster without the operator has none. Raises UnreachableError when the API refuses the list.
    """
    try:
        volumes = kube.listed(VOLUMES)
    except UnreachableError as error:
        error.hint = (
            "allow the user of the master's kubeconfig to list"
            f" volumes.storage.metalk8s.scality.com; {error.hint}"
        )
        raise
    names = []
    for volume in volumes:
        if (volume.get("spec") or {}).get("nodeName") == node:
            names.append(str(volume["metadata"]["name"]))
    return sorted(names)


def local_claims(kube: Kube, wanted: Collection[Claim]) -> frozenset[Claim]:
    """Return the claims that are bound to a disk or directory of one node."""
    return frozenset(claim for claim in wanted if _is_local(kube, claim))


def cordon(kube: Kube, name: str, uid: str, annotations: Mapping[str, str]) -> None:
    """Cordon the Node with this UID. Raises ConflictError when the Node is gone."""
    patch = {
        "metadata": {"uid": uid, "annotations": dict(annotations)},
        "spec": {"unschedulable": True},
    }
    if kube.merge_patch_node(name, patch) is None:
        raise ConflictError(
            "the Node was deleted at the same time", node=name, hint="run the same command again"
        )


def _volume(spec: Mapping[str, Any]) -> str:
    return str((spec.get("source") or {}).get("persistentVolumeName") or "a volume without a name")


def _is_local(kube: Kube, claim: Claim) -> bool:
    namespace, name = claim
    stored = kube.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}") or {}
    volume = (stored.get("spec") or {}).get("volumeName")
    return bool(volume) and drain_rules.is_local(
        kube.get(f"/api/v1/persistentvolumes/{volume}") or {}
    )
