"""Control of a run: lock, journal, progress, follow, stop, and the queue of requests.

Runs in the runner, on the Salt master.
"""
