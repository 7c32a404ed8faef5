"""Questions about the pillar."""

from salt.exceptions import CommandExecutionError


def minions_by_role(role):
    """Return the names of all Nodes with this role."""
    nodes = __pillar__["metalk8s"]["nodes"]
    return sorted(name for name, node in nodes.items() if role in node["roles"])


def check_pillar_keys(keys, raise_error=True):
    """Return whether the pillar has all these keys. Raise CommandExecutionError if it must."""
    missing = [key for key in keys if __salt__["pillar.get"](key, delimiter=".") in ("", None)]
    if missing and raise_error:
        raise CommandExecutionError(f"the pillar has no {', '.join(missing)}")
    return not missing
