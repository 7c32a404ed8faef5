"""The labels of an object."""


def labels_exist(name, labels, **_kwargs):
    """Ensure that a Node has these labels."""
    known = __salt__["metalk8s_kubernetes.node"](name)["metadata"]["labels"] or {}
    missing = {key: value for key, value in labels.items() if key not in known}
    if missing:
        __salt__["metalk8s_kubernetes.set_labels"](name, missing)
    return {"name": name, "result": True, "changes": missing, "comment": ""}
