"""Text for people: plans, checks, runs. Pure."""
