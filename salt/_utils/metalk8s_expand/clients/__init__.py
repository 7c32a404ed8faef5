"""Clients of external systems, one folder for each system.

No other package talks to these systems. The code runs in the process of its caller.
"""
