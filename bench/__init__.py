"""Measurements of this project beside a peer that does the same, in the same run on the same machine."""
