"""The API of Kubernetes, by the client and the kubeconfig that MetalK8s's master has."""

import datetime

HAVE_CLIENT = True
try:
    from kubernetes import client, config
except ImportError:
    HAVE_CLIENT = False


def __virtual__():
    return HAVE_CLIENT or (False, "the Python package kubernetes is not installed")


def _api(kind):
    config.load_kube_config(__opts__["kubernetes.kubeconfig"])
    return getattr(client, kind)()


def node(name):
    """Return a Node."""
    return _api("CoreV1Api").read_node(name).to_dict()


def set_unschedulable(name, value):
    """Cordon or uncordon a Node."""
    return _api("CoreV1Api").patch_node(name, {"spec": {"unschedulable": value}}).to_dict()


def set_labels(name, labels):
    """Set labels of a Node."""
    return _api("CoreV1Api").patch_node(name, {"metadata": {"labels": labels}}).to_dict()


def evictable(name):
    """Return the namespace and name of each Pod of a Node that a drain evicts.

    Pods of DaemonSets, static Pods and pending Pods stay.
    """
    pods = _api("CoreV1Api").list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}")
    return [
        (pod.metadata.namespace, pod.metadata.name)
        for pod in pods.items
        if "kubernetes.io/config.mirror" not in (pod.metadata.annotations or {})
        and not any(owner.kind == "DaemonSet" for owner in pod.metadata.owner_references or ())
        and pod.status.phase not in ("Pending", "Succeeded", "Failed")
    ]


def evict(namespace, name):
    """Evict a Pod; return False while a disruption budget forbids it."""
    about = client.V1ObjectMeta(name=name, namespace=namespace)
    try:
        _api("CoreV1Api").create_namespaced_pod_eviction(
            name, namespace, client.V1Eviction(metadata=about)
        )
    except client.ApiException as error:
        if error.status == 404:
            return True
        if error.status == 429:
            return False
        raise
    return True


def rollout_restart(name, namespace, **_kwargs):
    """Restart the Pods of a Deployment."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    mark = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}
    _api("AppsV1Api").patch_namespaced_deployment(name, namespace, {"spec": {"template": mark}})
    return True
