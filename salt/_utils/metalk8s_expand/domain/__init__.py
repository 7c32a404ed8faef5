"""Rules about nodes, quorum and plans.

Standard library only: no I/O, no clock, so they run anywhere.
"""
