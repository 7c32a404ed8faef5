"""Inject faults at every moment of an expansion on real nodes, and prove that no write was lost.

This is a tool for developers only.
"""
