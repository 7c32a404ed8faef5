"""The part of a deployment that runs on the node itself, in the states of its Salt minion."""
