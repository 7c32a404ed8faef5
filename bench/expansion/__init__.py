"""Measure whole expansions on real hosts of the lab, beside peers that reach the same end.

Set ``ROUNDS`` to the number of runs of each work (3), whose medians count.
"""

from bench.expansion.measure import rows

__all__ = ["rows"]
