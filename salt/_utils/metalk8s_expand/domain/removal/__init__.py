"""The plan of a removal and the reasons to refuse it. Pure: no I/O."""
