"""Rules about nodes, quorum and plans.

The modules use only the standard library, without I/O or a clock, so they run anywhere.
"""
