"""OpenSSH: commands, keys, host keys and the diagnosis of failures. Runs on the Salt master."""
