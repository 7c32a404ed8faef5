"""The plan of an expansion. Pure."""
