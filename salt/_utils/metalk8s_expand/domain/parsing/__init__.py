"""Readers of untrusted values that collect every problem. No I/O."""
