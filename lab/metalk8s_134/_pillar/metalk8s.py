"""The networks, from MetalK8s's bootstrap configuration."""

import salt.utils.files
import salt.utils.yaml


def ext_pillar(minion_id, pillar, path):
    """Return the networks and the CA's minion."""
    with salt.utils.files.fopen(path) as file:
        given = salt.utils.yaml.safe_load(file)
    networks = given["networks"]
    return {
        "networks": {
            "control_plane": {"cidr": _list(networks["controlPlane"]["cidr"])},
            "workload_plane": {"cidr": _list(networks["workloadPlane"]["cidr"])},
            "pod": networks.get("pods", "10.233.0.0/16"),
            "service": networks.get("services", "10.96.0.0/12"),
        },
        "metalk8s": {"ca": {"minion": given["ca"]["minion"]}},
    }


def _list(value):
    return value if isinstance(value, list) else [value]
