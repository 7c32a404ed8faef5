"""Measure this project against a peer that does the same work, in one run on one machine."""

import sys
from pathlib import Path

# Import the library of this tree as Salt's sync lays it out. The measured Salt programs do not use
# this path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "salt" / "_utils"))
