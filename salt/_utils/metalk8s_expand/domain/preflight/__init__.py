"""Facts about hosts, preflight checks and their findings. Pure: no I/O."""
