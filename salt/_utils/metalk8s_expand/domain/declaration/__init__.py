"""The declaration in the pillar: its fields, its nodes and how they are selected. Pure."""
