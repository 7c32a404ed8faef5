"""Run the hosts: machines with their disks, cgroups, identities and network.

The modules run on the machine of the lab as root.
"""
