"""Refuse a Salt or a Python that is too old, in the grammar of Python 3.6.

The Salt master of a MetalK8s before 134 runs Python 3.6, which cannot import the rest of the
library. The runner plugin therefore imports this file first.
"""

import sys

OLDEST_SALT = 3006
OLDEST_PYTHON = (3, 10)


def refusal(salt_version: int, python: "tuple[int, int]" = sys.version_info[:2]) -> str:
    """Return one sentence with the reason to refuse this Salt or Python, or an empty string.

    ``salt_version`` is Salt's major version, such as 3006.
    """
    found = []
    if salt_version < OLDEST_SALT:
        found.append(f"Salt {salt_version}")
    if python < OLDEST_PYTHON:
        found.append(f"Python {python[0]}.{python[1]}")
    if not found:
        return ""
    oldest = f"Salt {OLDEST_SALT} and Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer"
    return (
        f"metalk8s_expand needs {oldest}, and this master has {' and '.join(found)}:"
        " use it on MetalK8s 134 or newer"
    )
