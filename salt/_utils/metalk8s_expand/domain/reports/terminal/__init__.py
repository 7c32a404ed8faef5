"""Documents for a terminal: text with styles, what many nodes share, errors and the status."""
