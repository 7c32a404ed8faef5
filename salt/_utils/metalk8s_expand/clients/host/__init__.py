"""The host that runs the caller: clocks, signals, certificate files and the fencing epoch.

Runs on the master and on nodes.
"""
