"""Render plans, checks and runs as text for people. Pure: no I/O."""
