"""Scripts that the master sends over SSH to bare hosts.

They run there on Python 3.6 or later and import the standard library alone.
"""
