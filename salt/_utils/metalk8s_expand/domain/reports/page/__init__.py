"""Render the report of a run as one self-contained HTML page. Pure: no I/O, no network."""
