"""Checks before the first change: SSH, hosts, and the cluster as a whole.

Runs in the runner, on the Salt master.
"""
