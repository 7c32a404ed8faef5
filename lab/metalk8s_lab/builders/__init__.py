"""Builds what hosts are given: binaries, images, archives. Runs on the machine of the lab and caches by content."""
