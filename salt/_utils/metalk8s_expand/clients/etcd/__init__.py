"""etcd: its API, its snapshots and the files of a member.

Runs on the Salt master, and on the node for the member's files.
"""
