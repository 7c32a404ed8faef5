"""The only code that talks to foreign systems, one system a folder.

Runs wherever its caller runs.
"""
