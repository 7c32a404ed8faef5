"""Make declarations of nodes, and Node objects of a realistic size."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from bench.bare import Request
from metalk8s_expand.clients.kubernetes.node_leases import LEASES
from metalk8s_expand.domain.node import manifest
from metalk8s_expand.domain.node.spec import Node

NODES = "/api/v1/nodes"
PROFILES = ("control-plane", "infra", "worker", "worker-infra")
IMAGES = 25


def pillar(count: int, profiles: tuple[str, ...] = PROFILES, **node: Any) -> dict[str, Any]:
    """Return the declaration of ``count`` nodes; the profiles alternate.

    ``node`` holds additional fields of each node.
    """
    first = ipaddress.ip_address("10.64.0.1")
    nodes = {
        f"node-{number:05}": {
            "profile": profiles[number % len(profiles)],
            "address": str(first + number),
            **node,
        }
        for number in range(count)
    }
    return {"defaults": {"version": "132.0.1"}, "nodes": nodes}


def registration(node: Node) -> Request:
    """Return the request that registers the node."""
    return Request("POST", NODES, json.dumps(manifest.registration(node)).encode())


def joined(node: Node) -> Request:
    """Return the request that creates the node as a Node in service."""
    body = manifest.manifest(node)
    body["metadata"]["labels"] |= {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
    }
    body["metadata"]["annotations"] |= {
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    return Request("POST", NODES, json.dumps(body).encode())


def reported(node: Node) -> Request:
    """Return the request with which the kubelet of the node first reports its status."""
    path = f"{NODES}/{node.name}/status?fieldManager=kubelet"
    return Request(
        "PATCH",
        path,
        json.dumps({"status": _status(node)}).encode(),
        "application/merge-patch+json",
    )


def renewed(node: Node) -> Request:
    """Return the request with which the kubelet of the node first renews its Lease."""
    body = {
        "metadata": {"name": node.name},
        "spec": {
            "holderIdentity": node.name,
            "leaseDurationSeconds": 40,
            "renewTime": "2025-01-01T00:00:00.000000Z",
        },
    }
    return Request("POST", LEASES, json.dumps(body).encode())


def _status(node: Node) -> dict[str, Any]:
    resources = {
        "cpu": "32",
        "ephemeral-storage": "1919758376Ki",
        "hugepages-1Gi": "0",
        "memory": "131693004Ki",
        "pods": "250",
    }
    return {
        "addresses": [
            {"type": "InternalIP", "address": node.address},
            {"type": "Hostname", "address": node.name},
        ],
        "allocatable": resources,
        "capacity": resources,
        "conditions": [
            _condition(
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
            _condition(
                "DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"
            ),
            _condition(
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ),
            _condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "images": [_image(number) for number in range(IMAGES)],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "f7bcb7e6-9f2a-4d5e-8a5e-0e2f6d3c1b7a",
            "containerRuntimeVersion": "containerd://2.1.4",
            "kernelVersion": "5.14.0-570.el9.x86_64",
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.34.4",
            "machineID": "6b1f0c9d2e8a4f7bb3a5d1c4e9f80a72",
            "operatingSystem": "linux",
            "osImage": "Rocky Linux 9.6 (Blue Onyx)",
            "systemUUID": "4c4c4544-0042-3510-8052-b4c04f564433",
        },
        "runtimeHandlers": [
            {"name": "runc", "features": {"recursiveReadOnlyMounts": True, "userNamespaces": True}}
        ],
    }


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    times = {
        "lastHeartbeatTime": "2025-01-01T00:00:00Z",
        "lastTransitionTime": "2025-01-01T00:00:00Z",
    }
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


def _image(number: int) -> dict[str, Any]:
    name = f"metalk8s-registry-from-config.invalid/metalk8s-132.0.1/component-{number:02}"
    return {
        "names": [f"{name}@sha256:{number:064x}", f"{name}:v1.34.{number}"],
        "sizeBytes": 81_234_567 + number,
    }
