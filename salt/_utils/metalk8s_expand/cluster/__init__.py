"""The cluster as it is: Nodes, etcd, health, certificates, keys.

Runs on the Salt master, in the runner and in Salt's loaders and states.
"""
