"""Salt itself: pillar, minion keys, minions, orchestrations, jobs, events, cache.

Runs on the Salt master.
"""
