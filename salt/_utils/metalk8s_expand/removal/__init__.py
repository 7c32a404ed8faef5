"""The removal of one node: its order and its steps. Runs in the runner, on the Salt master."""
