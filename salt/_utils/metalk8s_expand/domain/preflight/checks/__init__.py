"""Preflight checks of a host, by subject. Each check is a function with ``registry.check``."""
