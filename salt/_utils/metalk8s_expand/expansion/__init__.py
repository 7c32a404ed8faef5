"""The expansion of a cluster: its order, its scheduler and the steps of one node.

Runs in the runner, on the Salt master.
"""
