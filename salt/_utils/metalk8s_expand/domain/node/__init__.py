"""A node: its roles, its Node object, its health. No I/O."""
