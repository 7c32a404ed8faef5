"""Readers of untrusted values that collect every problem. Pure."""
