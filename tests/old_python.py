"""Find the oldest Python that a host may have: 3.6, as the platform-python of Rocky 8 is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def python_3_6() -> Path | None:
    """Return a Python 3.6 of this machine, on PATH or installed by pyenv, or None."""
    own = shutil.which("python3.6")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [*pyenv.glob("versions/3.6.*/bin/python3.6"), *([Path(own)] if own else [])]
    return found[0].resolve() if found else None
