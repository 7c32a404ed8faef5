"""The only code that talks to the world: one foreign system a file."""
