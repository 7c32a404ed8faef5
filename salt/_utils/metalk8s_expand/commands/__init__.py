"""One file for each runner function: parse the arguments, call a workflow, return its result.

Runs in the runner, on the Salt master.
"""
