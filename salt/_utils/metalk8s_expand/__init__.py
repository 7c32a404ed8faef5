"""The library behind the metalk8s_expand Salt plugins: see docs/architecture for its layers.

Deliberately empty: in sync mode Salt can load this file twice, so it must hold no state.
"""

__version__ = "0.1.0"
