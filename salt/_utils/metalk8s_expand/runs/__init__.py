"""Control of a run: lock, journal, progress, follow, stop, and the queue of requests.

The runner executes these modules on the Salt master.
"""
