"""Measurements of this project beside a peer that does the same, in the same run on the same machine."""

import sys
from pathlib import Path

# The library of this tree, as Salt's sync would have it; and not for the Salt programs that are measured.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "salt" / "_utils"))
