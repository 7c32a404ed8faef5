"""Real causes for a host that is unusable over SSH: each is reported with its remedy."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metalk8s_expand.clients.ssh import command
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.domain.preflight.ssh_failures import REMEDIES
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.preflight.ssh import Checked, check_ssh
from tests.integration.sshd import Server, free_port, in_namespace, keygen, trusting

TIMEOUT = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    try:
        yield running
    finally:
        running.stop()


def refused(target: Target, timeout: float = TIMEOUT) -> UnreachableError:
    found = check_ssh([target], timeout)[target.name]
    assert isinstance(found, UnreachableError), found
    assert found.node == target.name
    assert found.cause in REMEDIES
    assert found.hint
    assert "{" not in found.hint
    assert f"SSH to {target.place}" in found.message
    assert found.as_dict()["cause"] == found.cause
    return found


def test_healthy_host_passes(server: Server) -> None:
    found = check_ssh([server.target()], TIMEOUT)["w-1"]
    assert isinstance(found, Checked), found
    assert 0 < found.elapsed < TIMEOUT
    assert found.python >= (3, 10)
    assert found.interpreter == f"{server.base}/bin/python3"


@pytest.mark.parametrize("user", ["mk-bash", "mk-good"])
def test_shell_output_on_stderr_is_ignored(server: Server, user: str) -> None:
    assert isinstance(check_ssh([server.target(user)], TIMEOUT)["w-1"], Checked)


def test_host_with_sudo_passes(server: Server) -> None:
    assert isinstance(check_ssh([server.target("mk-sudo", sudo=True)], TIMEOUT)["w-1"], Checked)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_host_with_ipv6_address_passes(server: Server, host: str) -> None:
    entry = {"host": host, "port": server.port, "user": "mk-good", "priv": str(server.key)}
    target = Target.from_roster("w-1", {**entry, "ssh_options": trusting(server.known_hosts)})
    assert isinstance(check_ssh([target], TIMEOUT)["w-1"], Checked)


@pytest.mark.parametrize(
    ("user", "sudo", "cause", "words"),
    [
        ("mk-nologin", False, "shell-runs-no-command", "not available"),
        ("mk-sftp", False, "shell-runs-no-command", "did not run the command"),
        ("mk-exit", False, "shell-runs-no-command", "accepts the login"),
        ("mk-noise", False, "shell-noise", "Welcome to the machine"),
        ("mk-flood", False, "output-flood", "endless output"),
        ("mk-no-python", False, "no-python", "no Python is installed"),
        ("mk-broken-python", False, "no-python", "shared libraries"),
        ("mk-old-python", False, "python-too-old", "3.6.8"),
        ("mk-python-2", False, "python-too-old", "2.7.18"),
        ("mk-no-sudo", True, "no-sudo", "sudo is not installed"),
        ("mk-sudo-password", True, "sudo-needs-password", "password is required"),
        ("mk-sudo-tty", True, "sudo-requires-tty", "must have a tty"),
        ("mk-sudo-listed", True, "sudo-needs-password", "requires a password"),
        (
            "mk-sudo-unknown",
            True,
            "sudo-needs-password",
            "before it checks whether sudoers contains the user",
        ),
        ("mk-sudo-other", True, "sudo-refused", "permits mk-sudo-other to run other commands"),
        ("mk-sudo-refused", True, "sudo-refused", "not in the sudoers"),
        ("mk-sudo-old-python", True, "python-too-old", "3.6.8"),
        ("mk-sudo-broken-python", True, "no-python", "shared libraries"),
        ("mk-denied", False, "key-refused-or-user-unknown", "Permission denied"),
        ("mk-nobody-of-that-name", False, "key-refused-or-user-unknown", "the user does not exist"),
        ("mk-cut", False, "connection-lost", "a login works now"),
    ],
)
def test_unusable_login_is_reported(
    server: Server, user: str, sudo: bool, cause: str, words: str
) -> None:
    error = refused(server.target(user, sudo=sudo))
    assert error.cause == cause, error
    assert words in error.message


def test_all_problems_are_reported_together(server: Server) -> None:
    error = refused(server.target("mk-all-wrong", sudo=True))
    assert error.cause == "python-too-old"
    told = [str(problem).partition(":")[0] for problem in error.problems]
    assert told == [
        "no-sudo" if "sudo is not installed" in str(error) else "sudo-needs-password",
        "shell-noise",
    ]


@pytest.mark.parametrize(
    ("user", "cause"), [("mk-stuck", "login-time-out"), ("mk-stuck-python", "command-time-out")]
)
def test_hanging_login_is_reported_after_timeout(server: Server, user: str, cause: str) -> None:
    started = time.monotonic()
    assert refused(server.target(user), timeout=3.0).cause == cause
    assert time.monotonic() - started < 3 + command.DIAGNOSIS_S + 1


def test_refused_key_is_reported_with_fingerprint(server: Server, tmp_path: Path) -> None:
    stranger = keygen(tmp_path / "stranger")
    error = refused(server.target(key_path=str(stranger)))
    assert error.cause == "key-refused-or-user-unknown"
    shown = subprocess.run(
        ["ssh-keygen", "-lf", stranger], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert shown in error.message
    assert "Permission denied" in error.message


def test_unusable_key_file_is_reported(server: Server, tmp_path: Path) -> None:
    def cause(path: Path) -> str | None:
        return refused(server.target(key_path=str(path))).cause

    assert cause(tmp_path / "none") == "key-file-missing"
    open_to_all = tmp_path / "open"
    open_to_all.write_bytes(server.key.read_bytes())
    open_to_all.chmod(0o644)
    assert cause(open_to_all) == "key-file-mode"
    assert cause(keygen(tmp_path / "locked", passphrase="secret")) == "key-file-passphrase"
    pem = tmp_path / "pem"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-m", "PEM", "-N", "secret", "-f", pem],
        check=True,
        timeout=60,
    )
    assert cause(pem) == "key-file-passphrase"
    public = tmp_path / "public"
    public.write_bytes(Path(f"{server.key}.pub").read_bytes())
    public.chmod(0o600)
    assert cause(public) == "key-file-invalid"
    assert cause(tmp_path) == "key-file-invalid"


def test_missing_key_file_is_not_replaced_by_default_key(server: Server, tmp_path: Path) -> None:
    arguments = server.target(key_path=str(tmp_path / "none")).openssh()
    done = subprocess.run(
        [*arguments, "-G", "127.0.0.1"], capture_output=True, text=True, check=True, timeout=10
    )
    identities = [line for line in done.stdout.splitlines() if line.startswith("identityfile ")]
    assert identities == [f"identityfile {tmp_path}/none"]


def known_by(server: Server, path: Path, *lines: str) -> Target:
    path.write_text("".join(lines))
    return server.target(options=trusting(path))


def test_unknown_host_key_is_reported_with_fingerprint(server: Server, tmp_path: Path) -> None:
    error = refused(server.target(options=trusting(tmp_path / "none")))
    assert error.cause == "host-key-unknown"
    assert f"{tmp_path}/none (missing)" in error.message
    shown = subprocess.run(
        ["ssh-keygen", "-lf", server.host_key], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert shown in error.message
    assert "Host key verification failed" in error.message


def test_changed_host_key_is_reported(server: Server, tmp_path: Path) -> None:
    old = keygen(tmp_path / "old")
    error = refused(known_by(server, tmp_path / "kh", server.known(old)))
    assert error.cause == "host-key-changed"
    assert "IDENTIFICATION HAS CHANGED" in error.message
    assert error.message.count("SHA256:") >= 2


def test_host_key_of_other_type_is_unknown(server: Server, tmp_path: Path) -> None:
    old = keygen(tmp_path / "old", "ecdsa")
    assert refused(known_by(server, tmp_path / "kh", server.known(old))).cause == "host-key-unknown"


def test_revoked_host_key_is_reported(server: Server, tmp_path: Path) -> None:
    line = server.known(server.host_key)
    error = refused(known_by(server, tmp_path / "kh", line, "@revoked * " + line.partition(" ")[2]))
    assert error.cause == "host-key-revoked"


def test_hashed_names_and_aliases_of_known_hosts_match(server: Server, tmp_path: Path) -> None:
    hashed = known_by(
        server, tmp_path / "hashed", server.known(server.host_key, f"[127.0.0.1]:{server.port}")
    )
    subprocess.run(
        ["ssh-keygen", "-H", "-f", tmp_path / "hashed"], capture_output=True, check=True, timeout=10
    )
    assert isinstance(check_ssh([hashed], TIMEOUT)["w-1"], Checked)
    alias, declared = "metalk8s-expand.w-1", tmp_path / "declared"
    options = (
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/dev/null",
        f"GlobalKnownHostsFile={declared}",
        f"HostKeyAlias={alias}",
    )
    declared.write_text(server.known(server.host_key, alias))
    assert isinstance(check_ssh([server.target(options=options)], TIMEOUT)["w-1"], Checked)
    declared.write_text(server.known(keygen(tmp_path / "other"), alias))
    error = refused(server.target(options=options))
    assert (error.cause, alias in error.message) == ("host-key-changed", True)


def test_accept_new_stores_host_key_on_first_contact(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known"
    options = (
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={known}",
        "GlobalKnownHostsFile=/dev/null",
    )
    assert isinstance(check_ssh([server.target(options=options)], TIMEOUT)["w-1"], Checked)
    kept = subprocess.run(
        ["ssh-keygen", "-F", f"[127.0.0.1]:{server.port}", "-f", known],
        capture_output=True,
        check=True,
    )
    assert server.known(server.host_key).split()[2].encode() in kept.stdout
    error = refused(server.target("mk-denied", options=options))
    assert error.cause == "key-refused-or-user-unknown"


def test_unknown_openssh_option_is_reported(server: Server) -> None:
    error = refused(server.target(options=("NoSuchOption=yes",)))
    assert error.cause == "options-refused"
    assert "nosuchoption" in error.message


def test_host_behind_jump_host_passes(server: Server) -> None:
    jump = [*server.target().openssh(), "-W", "%h:%p", "127.0.0.1"]
    through = (*trusting(server.known_hosts), f"ProxyCommand={' '.join(jump)}")
    assert isinstance(check_ssh([server.target(options=through)], TIMEOUT)["w-1"], Checked)
    broken = (*trusting(server.known_hosts), "ProxyCommand=/bin/false")
    error = refused(server.target(options=broken))
    assert error.cause == "ssh-failed"
    assert "ProxyCommand /bin/false" in error.message
    assert "remove it from the master's ssh configuration" in str(error.hint)


def test_missing_openssh_is_reported(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(server.target()).cause == "openssh-missing"


def test_refused_connection_is_reported(server: Server) -> None:
    assert refused(server.target(port=free_port())).cause == "connection-refused"


def test_unresolvable_name_is_reported(server: Server) -> None:
    assert refused(server.target(host="no-such-host.invalid")).cause == "name-does-not-resolve"


def test_missing_route_and_name_service_are_reported() -> None:
    """In a network namespace without routes, the only name server answers no query."""
    setup = [
        "printf 'nameserver 127.0.0.1\\n' >/tmp/resolv.conf",
        "mount --bind /tmp/resolv.conf /etc/resolv.conf",
    ]
    code = """
import json, socket
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.preflight.ssh import check_ssh
name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
name_server.bind(("127.0.0.1", 53))
hosts = [Target("v4", "192.0.2.1"), Target("v6", "2001:db8::1"), Target("name", "host.example")]
found = check_ssh(hosts, 1.0)
print(json.dumps({name: error.as_dict() for name, error in found.items()}))
"""
    mounted = ["mount -t tmpfs tmpfs /tmp", *setup]
    found = json.loads(in_namespace(mounted, code))
    assert {name: error["cause"] for name, error in found.items()} == {
        "v4": "no-route",
        "v6": "no-route",
        "name": "name-does-not-resolve",
    }
    assert "does not answer" in found["name"]["message"]


Serve = Callable[[socket.socket], None]


@pytest.fixture
def listener() -> Iterator[Callable[[Serve], int]]:
    """Return a function that listens on a port and returns the port.

    Each connection is served by the given function in its own thread and stays open afterwards.
    """
    connections = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def accept(serve: Serve) -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def start(serve: Serve) -> int:
            threading.Thread(target=accept, args=(serve,), daemon=True).start()
            port: int = server.getsockname()[1]
            return port

        yield start
    for connection in connections:
        connection.close()


def test_http_server_is_reported_as_not_ssh(
    server: Server, listener: Callable[[Serve], int]
) -> None:
    def http(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()

    error = refused(server.target(port=listener(http)))
    assert error.cause == "not-ssh"
    assert "HTTP/1.1 400" in error.message


def test_closed_connection_is_reported(server: Server, listener: Callable[[Serve], int]) -> None:
    assert refused(server.target(port=listener(socket.socket.close))).cause == "connection-closed"


def test_silent_server_is_reported_after_timeout(
    server: Server, listener: Callable[[Serve], int]
) -> None:
    started = time.monotonic()
    assert (
        refused(server.target(port=listener(lambda connection: None)), timeout=3.0).cause
        == "banner-time-out"
    )
    assert 2.5 < time.monotonic() - started < 3 + command.DIAGNOSIS_S


def test_dropped_connection_is_reported_after_timeout(server: Server) -> None:
    """The queue of connections is full: the kernel drops new ones, as a firewall does."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        started = time.monotonic()
        error = refused(server.target(port=full.getsockname()[1]), timeout=3.0)
        assert time.monotonic() - started < 3 + command.DIAGNOSIS_S
        for filler in fillers:
            filler.close()
    assert error.cause == "time-out"


def relayed(port: int, delay: float) -> Serve:
    """Return a function that relays a connection to the real server after ``delay`` seconds."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(connection: socket.socket) -> None:
        time.sleep(delay)
        upstream = socket.create_connection(("127.0.0.1", port), 10)
        threading.Thread(target=pump, args=(connection, upstream), daemon=True).start()
        pump(upstream, connection)

    return serve


def test_host_with_late_banner_passes(
    server: Server, listener: Callable[[Serve], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PATIENCE_S", 1.0)
    options = (*trusting(server.known_hosts), f"HostKeyAlias=[127.0.0.1]:{server.port}")
    target = server.target(port=listener(relayed(server.port, 1.5)), options=options)
    assert isinstance(check_ssh([target], TIMEOUT)["w-1"], Checked)


def test_silent_hosts_do_not_delay_other_hosts(
    server: Server, listener: Callable[[Serve], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check hosts with four connections at a time; silent and hanging hosts come first."""
    monkeypatch.setattr(command, "PATIENCE_S", 1.0)
    port = listener(lambda connection: None)
    silent = [server.target(name=f"silent-{number}", port=port) for number in range(12)]
    stuck = [server.target("mk-stuck", name=f"stuck-{number}") for number in range(3)]
    good = [server.target(name=f"good-{number}") for number in range(10)]
    deadline, started = 6.0, time.monotonic()
    found = check_ssh([*silent, *stuck, *good], deadline, max_parallel=4)
    elapsed = time.monotonic() - started
    assert list(found) == [target.name for target in (*silent, *stuck, *good)]
    assert {found[target.name].cause for target in silent} == {"banner-time-out"}
    assert {found[target.name].cause for target in stuck} == {"login-time-out"}
    assert all(isinstance(found[target.name], Checked) for target in good)
    # In sequence, the fifteen bad hosts alone would occupy the four slots for four deadlines.
    assert elapsed < 3 * deadline
