"""Every cause of an SSH failure by name, with its remedy.

Programs and the documentation use the names, so a new name needs a line here and in the
documentation. ``SSHFailure.remedy`` fills ``host``, ``port``, ``user`` and ``key`` into a remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

REMEDIES = {
    "openssh-missing": "install OpenSSH's client on the master: openssh-client, or openssh-clients",
    "options-refused": "correct the ssh_options of the roster's entry, or the master's ssh_config",
    "name-does-not-resolve": (
        "correct ssh:host in the pillar, or the name service of the master: getent hosts {host}"
    ),
    "no-route": "check the address in the pillar, and the route to it: ip route get {host}",
    "connection-refused": "start sshd on the host, or correct ssh:port in the pillar",
    "time-out": "check that the host runs, its address in the pillar, and firewalls between",
    "banner-time-out": (
        "check sshd on the host: it accepts connections, but sends nothing (load, memory, a stuck"
        " process)"
    ),
    "not-ssh": "correct ssh:port in the pillar: another program than sshd listens there",
    "connection-closed": (
        "read sshd's log: MaxStartups, PerSourcePenalties, hosts.deny or a firewall closed the"
        " connection"
    ),
    "host-key-unknown": (
        "compare it with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the host's console,"
        " then declare it as ssh:host_key or add it to known_hosts"
    ),
    "host-key-changed": (
        "find out why before you trust it: a reinstalled host has a new key, and so has an"
        " impostor; then correct ssh:host_key, or remove the old key with ssh-keygen -R"
    ),
    "host-key-revoked": "create a new key for the host: known_hosts marks this key as revoked",
    "key-file-missing": "copy the private key to {key}, or correct ssh:key_path in the pillar",
    "key-file-unreadable": "allow the user that runs the Salt master to read {key}",
    "key-file-mode": "chmod 600 {key}",
    "key-file-passphrase": (
        "Salt cannot enter a passphrase: remove it with ssh-keygen -p -f {key}, or load the key"
        " into an agent"
    ),
    "key-file-invalid": "copy a private key to {key}: the file does not contain one",
    "key-refused-or-user-unknown": (
        "add the public key of {key} to authorized_keys of {user} on the host, or correct ssh:user"
        " and ssh:key_path; sshd's log on the host states the cause"
    ),
    "connection-lost": "run the same command again; if it fails again, read sshd's log on the host",
    "login-time-out": (
        "log in by hand and find out what hangs: the home directory, the profile, PAM or the name"
        " service"
    ),
    "command-time-out": "log in by hand and find out what hangs: python3 or sudo",
    "ssh-failed": (
        "check this proxy: ssh -v -p {port} {user}@{host}; if {host} needs none, remove it from the"
        " master's ssh configuration"
    ),
    "shell-runs-no-command": (
        "give {user} a login shell that runs commands, and no forced command: getent passwd {user}"
    ),
    "shell-noise": (
        "make the login shell of {user} silent (.bashrc, profile, /etc/bash.bashrc): it breaks scp"
        " and salt-ssh"
    ),
    "output-flood": "make the login shell of {user} silent: it prints endless output",
    "no-python": "install Python as python3 on the host",
    "python-too-old": "install a newer Python as python3 on the host",
    "no-sudo": "install sudo on the host, or set ssh:sudo to false and log in as root",
    "sudo-needs-password": (
        "permit {user} to use sudo without a password: {user} ALL=(ALL) NOPASSWD: ALL in"
        " /etc/sudoers.d"
    ),
    "sudo-requires-tty": (
        "let {user} use sudo without a terminal: Defaults:{user} !requiretty in /etc/sudoers.d"
    ),
    "sudo-refused": (
        "permit {user} to run everything with sudo: {user} ALL=(ALL) NOPASSWD: ALL in"
        " /etc/sudoers.d"
    ),
}


@dataclass(frozen=True)
class SSHFailure:
    """A cause from ``REMEDIES``, and what was found."""

    cause: str
    found: str

    def remedy(self, host: str, port: int, user: str, key: str) -> str:
        """Return the remedy for this host."""
        return REMEDIES[self.cause].format(
            host=host, port=port, user=user, key=key or "the default key"
        )
