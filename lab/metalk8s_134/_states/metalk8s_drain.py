"""The Pods of a Node."""

import time


def node_drained(name, timeout=3600, **_kwargs):
    """Evict the Pods of a Node, and wait until they are gone."""
    end, evicted = time.monotonic() + timeout, set()
    while left := __salt__["metalk8s_kubernetes.evictable"](name):
        if time.monotonic() > end:
            comment = f"these Pods are still there: {left}"
            return {"name": name, "result": False, "changes": {}, "comment": comment}
        for namespace, pod in left:
            if __salt__["metalk8s_kubernetes.evict"](namespace, pod):
                evicted.add(f"{namespace}/{pod}")
        time.sleep(1)
    changes = {"evicted": sorted(evicted)} if evicted else {}
    return {"name": name, "result": True, "changes": changes, "comment": ""}
