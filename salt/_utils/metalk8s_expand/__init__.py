"""The library of the metalk8s_expand Salt plugins; docs/explanations has its layers.

This file is empty on purpose: in sync mode Salt can load it twice, so it must hold no state.
"""

__version__ = "0.1.0"
