"""Build the artifacts of the hosts: binaries, images, archives.

The builders run on the machine of the lab. They cache their results by a digest of the input.
"""
