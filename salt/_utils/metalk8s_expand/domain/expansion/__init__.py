"""The plan of an expansion. Pure: no I/O."""
