"""The members of etcd."""


def member_present(name, peer_urls):
    """Ensure that etcd has a voting member with one of these URLs."""
    known = {url for one in __salt__["metalk8s_etcd.members"]() for url in one["peer_urls"]}
    if known & set(peer_urls):
        return {"name": name, "result": True, "changes": {}, "comment": "the member exists"}
    try:
        added = __salt__["metalk8s_etcd.add_etcd_node"](peer_urls)
    except OSError as error:
        return {"name": name, "result": False, "changes": {}, "comment": str(error)}
    return {"name": name, "result": True, "changes": {"added": added}, "comment": ""}
