"""Runs the hosts: machines, their disks, cgroups, identities and network. Runs on the machine of the lab, as root."""
