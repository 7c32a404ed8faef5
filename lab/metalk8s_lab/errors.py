"""The one error that the lab raises on purpose: its text is all that a user is shown."""


class LabError(Exception):
    """Something that the user can understand and act on; printed without a traceback."""
