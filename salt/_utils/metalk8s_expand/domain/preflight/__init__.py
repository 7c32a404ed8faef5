"""Facts about hosts and the findings that follow from them. Pure."""
