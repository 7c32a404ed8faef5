"""The Kubernetes API. Runs on the Salt master."""
