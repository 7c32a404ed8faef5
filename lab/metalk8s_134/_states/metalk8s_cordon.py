"""Whether a Node takes Pods."""


def _set(name, value):
    before = bool(__salt__["metalk8s_kubernetes.node"](name)["spec"]["unschedulable"])
    changes = {} if before == value else {"old": before, "new": value}
    if changes and not __opts__["test"]:
        __salt__["metalk8s_kubernetes.set_unschedulable"](name, value)
    result = None if changes and __opts__["test"] else True
    return {"name": name, "result": result, "changes": changes, "comment": ""}


def node_cordoned(name):
    """Ensure that the Node takes no Pods."""
    return _set(name, True)


def node_uncordoned(name):
    """Ensure that the Node takes Pods, whoever cordoned it."""
    return _set(name, False)
