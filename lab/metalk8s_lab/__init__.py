"""Run a lab of real hosts on one machine, with the standard library only.

``lab/lab`` is the command.
"""
