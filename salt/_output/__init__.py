"""Thin Salt plugins of this kind; being a package lets an editable install find the directory."""
