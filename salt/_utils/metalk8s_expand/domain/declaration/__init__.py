"""The declaration in the pillar: its fields, its nodes and the selection of nodes. No I/O."""
