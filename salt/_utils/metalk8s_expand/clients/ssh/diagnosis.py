"""Diagnosis of a failed login. It runs only after the failure, so healthy hosts cost no time.

OpenSSH's exit code is the same for all its failures, and its messages change between versions.
The diagnosis therefore checks the port, the host's keys and the key file, in the order in which
OpenSSH needs them. The error contains OpenSSH's full output.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metalk8s_expand.clients.ssh import host_keys, private_key
from metalk8s_expand.clients.ssh import port as network
from metalk8s_expand.clients.ssh.process import ProcessResult
from metalk8s_expand.clients.ssh.process_pool import Allowance, run
from metalk8s_expand.clients.ssh.target import Target
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure
from metalk8s_expand.errors import UnreachableError

# Exit code of all failures of OpenSSH itself; a remote command may end with it as well.
FAILED = 255
LOGGED_IN = "logged in"
LOG = "journalctl --unit ssh --unit sshd on the host"


def error(
    target: Target, trouble: SSHFailure, *further: SSHFailure, output: str = ""
) -> UnreachableError:
    """Return the failure as an error, with OpenSSH's full output and the other findings."""
    lines = "; ".join(line.strip() for line in output.splitlines() if line.strip())
    quoted = f"; OpenSSH said: {lines}" if lines else ""
    return UnreachableError(
        f"SSH to {target.place}: {trouble.found}{quoted}",
        node=target.name,
        cause=trouble.cause,
        hint=_remedy(target, trouble),
        log=LOG,
        problems=[f"{other.cause}: {other.found}; {_remedy(target, other)}" for other in further],
    )


def _remedy(target: Target, trouble: SSHFailure) -> str:
    return trouble.remedy(target.host, target.port, target.user, target.key_path)


@dataclass
class DiagnosedFailure:
    """One failed login.

    The options are those that OpenSSH computes from the command line and its configuration files.
    """

    target: Target
    allowance: Allowance
    config: dict[str, str] = field(default_factory=dict)

    def network(self, seconds: float) -> SSHFailure | None:
        """Return why no sshd shows its banner in this time.

        Return None when sshd does, or when a proxy hides it.
        """
        return self._read_config() or (None if self.proxy else self._look(seconds))

    def login(self) -> SSHFailure:
        """Return why the login failed although sshd answers."""
        # The configuration is empty when the deadline ended ``ssh -G``.
        if (
            self.config
            and not self.proxy
            and (trouble := host_keys.host_key_problem(self.config, self.allowance))
        ):
            return trouble
        path = self.target.key_path
        return (
            private_key.private_key_problem(path, self.allowance) if path else None
        ) or self._again()

    def _look(self, seconds: float) -> SSHFailure | None:
        host, port = (
            self.config.get("hostname", self.target.host),
            int(self.config.get("port", self.target.port)),
        )
        with self.allowance.spent():
            return network.probe_port(
                host,
                port,
                self.config.get("addressfamily", "any"),
                min(seconds, self.allowance.left),
            )

    @property
    def proxy(self) -> str:
        """Return the proxy that OpenSSH's own configuration names, empty without one.

        OpenSSH uses no other proxy: it does not read HTTP_PROXY and the like.
        """
        for option, title in (("proxyjump", "ProxyJump"), ("proxycommand", "ProxyCommand")):
            value = self.config.get(option, "none")
            if value != "none":
                return f"{title} {value}"
        return ""

    def proxy_failure(self, what: str) -> SSHFailure:
        """Return the failure of a login through the proxy: only OpenSSH knows on which side."""
        return SSHFailure(
            "ssh-failed", f"the login through the proxy of OpenSSH ({self.proxy}) {what}"
        )

    def _read_config(self) -> SSHFailure | None:
        ended = run([*self.target.openssh(), "-G", "--", self.target.host], self.allowance)
        if ended.returncode == FAILED:
            return SSHFailure("options-refused", "OpenSSH does not accept its options")
        self.config = dict(line.split(" ", 1) for line in ended.stdout.splitlines() if " " in line)
        return None

    def _again(self) -> SSHFailure:
        """Log in again without a command, to distinguish a refused key from a closed connection."""
        ended = self._try()
        if ended.returncode is None:
            return SSHFailure("login-time-out", "a second login hangs")
        if ended.returncode == 0:
            return SSHFailure(
                "connection-lost",
                "the connection was closed or the command ended with 255; a login works now",
            )
        if LOGGED_IN in ended.stdout:
            return SSHFailure(
                "shell-runs-no-command", "sshd accepts the login, but runs no command"
            )
        if self.proxy:
            return self.proxy_failure("failed")
        return SSHFailure("key-refused-or-user-unknown", self._refused())

    def _try(self) -> ProcessResult:
        local = ("PermitLocalCommand=yes", f"LocalCommand=echo {LOGGED_IN}")
        return run([*self.target.openssh(*local), "--", self.target.host, "true"], self.allowance)

    def _refused(self) -> str:
        path, user = self.target.key_path, self.target.user
        key = (
            f"{path} ({private_key.fingerprint(path, self.allowance)})"
            if path
            else "every key of the master"
        )
        return (
            f"sshd refuses {key} for {user}: the key is not authorized, or the user does not exist"
            " or may not log in; sshd does not report which"
        )
