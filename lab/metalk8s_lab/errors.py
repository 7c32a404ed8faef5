"""Define the error that the lab raises on purpose: the user sees only its text."""


class LabError(Exception):
    """A failure that the user can act on; the command line prints it without a traceback."""
