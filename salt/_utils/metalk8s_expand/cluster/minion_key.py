"""Accept a minion's key only if the host shows the same key over SSH."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from metalk8s_expand.clients.host.clock import Clock, Pending, Wait, poll, retry_until, wait_until
from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.clients.ssh import command
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.domain.salt.fingerprint import fingerprint
from metalk8s_expand.errors import ConflictError, DeadlineError, DeployError, UnreachableError

# The command returns before the minion has stopped and started.
RESTART = ("systemctl", "--no-block", "restart", "salt-minion")
# Seconds that a minion may take to start and to answer.
RECONNECT_S = 120.0
# Seconds that a minion may take to answer after systemd has reported its start.
ANSWER_S = 90.0
# Seconds after which a minion that has presented no key is restarted.
PRESENTED_S = 20.0
PUBLIC_KEY = "/etc/salt/pki/minion/minion.pub"
ACCEPTED, PENDING = "minions", "minions_pre"
LOG = "/var/log/salt/minion and journalctl --unit salt-minion on the node; /var/log/salt/master"


def on_host(target: Target, timeout: float = 10.0) -> str:
    """Return the fingerprint of the key on the host.

    Raises UnreachableError if it cannot be read.
    """
    answer = command.run(target, ["cat", PUBLIC_KEY], timeout=timeout)
    if answer.returncode or not answer.stdout.strip():
        raise UnreachableError(
            "the minion's public key cannot be read over SSH:"
            f" {answer.stderr.strip() or PUBLIC_KEY + ' is empty'}",
            node=target.name,
            hint="check that salt-minion runs on the host",
            log=LOG,
        )
    return fingerprint(answer.stdout)


def pending_change(keys: Keys, minion: str) -> str | None:
    """Return the change that ``accept`` would make, for test=True."""
    stored = keys.public_key(minion)
    if stored is not None and stored[0] == ACCEPTED:
        return None
    return "the key will be accepted if its fingerprint matches the key on the host, read over SSH"


def accept(
    keys: Keys, minions: Minions, target: Target, timeout: float, clock: Clock
) -> dict[str, str]:
    """Wait for the minion's key, compare it with the host's, accept it, wait for the minion's
    answer.

    Returns the changes made. Raises ConflictError when the key on the master is not the host's: it
    belongs to an impostor, or to an earlier installation of the host. Accepting is repeated until
    the minion answers: a master that is just handling the minion's next request may write the key
    back as pending (seen with Salt 3008.3).
    """
    wait = Wait(
        "the minion to present its key to the master",
        timeout,
        node=target.name,
        hint=(
            "check that salt-minion runs on the node and reaches the master on ports 4505 and 4506"
        ),
        log=LOG,
    )
    _wait_for_key(keys, target, wait, clock)
    shown = _key_on_host(target, wait, clock)
    before = _directory(keys, target.name, shown)
    retry_until(
        replace(wait, what="the minion to answer"),
        lambda: _accept_and_ping(keys, minions, target.name, shown),
        clock,
    )
    return {} if before == ACCEPTED else {"accepted": shown}


def admit(keys: Keys, name: str, public_key: str) -> bool:
    """Accept the key that the host has shown over SSH, before the minion presents it.

    Return whether it was not accepted before. Raises ConflictError when the master has another key
    of this name: it belongs to an impostor, or to an earlier installation of the host.
    """
    if keys.public_key(name) is None:
        keys.add(name, public_key)
        return True
    directory = _directory(keys, name, fingerprint(public_key))
    if directory == PENDING:
        keys.accept(name)
    elif directory != ACCEPTED:
        raise ConflictError(
            f"the minion's key is in {directory} and not accepted",
            node=name,
            hint=f"check whose decision that was, then: salt-key --delete {name}",
            log="/var/log/salt/master",
        )
    return directory != ACCEPTED


def wait_for_answer(keys: Keys, minions: Minions, name: str, public_key: str, clock: Clock) -> None:
    """Wait until the minion answers; accept its key again if the master made it pending once more.

    Raises DeployError after ANSWER_S seconds.
    """
    wait = Wait(
        "the minion to answer",
        ANSWER_S,
        interval=0.2,
        node=name,
        hint=(
            "check that salt-minion runs on the node and reaches the master on ports 4505 and 4506"
        ),
        log=LOG,
        error=DeployError,
    )
    shown = fingerprint(public_key)
    retry_until(wait, lambda: _accept_and_ping(keys, minions, name, shown), clock)


def _wait_for_key(keys: Keys, target: Target, wait: Wait, clock: Clock) -> None:
    """Wait until the master has a key of this name.

    A minion whose key was deleted while it ran presents it again only when it starts.
    """

    def problems() -> list[str]:
        return [] if keys.public_key(target.name) else ["no key of this name has arrived"]

    try:
        wait_until(replace(wait, timeout=min(PRESENTED_S, wait.timeout)), problems, clock)
    except DeadlineError:
        restart(target)
        wait_until(replace(wait, timeout=max(0.0, wait.timeout - PRESENTED_S)), problems, clock)


def reconnect(
    keys: Keys, minions: Minions, target: Target, clock: Clock
) -> Generator[float, None, None]:
    """Restart the minion, accept its key if the host shows the same, and poll until it answers.

    Yield the seconds to pause between two attempts. A minion whose key was deleted presents it
    again when it starts. Raises ConflictError when the key on the master is not the host's, and
    DeployError when the minion cannot be started or does not answer.
    """
    restart(target)
    wait = Wait(
        "the minion to answer",
        RECONNECT_S,
        interval=2.0,
        node=target.name,
        hint=_redeploy(target.name),
        log=LOG,
        error=DeployError,
    )

    def attempt() -> Pending | None:
        try:
            return _accept_and_ping(keys, minions, target.name, on_host(target))
        except UnreachableError as error:
            return Pending([error.summary])

    yield from poll(wait, attempt, clock)


def restart(target: Target) -> None:
    """Restart the minion of a host over SSH, or start it.

    Raises DeployError if the host refuses it, for example because it has no minion.
    """
    answer = command.run(target, RESTART)
    if answer.returncode:
        reason = answer.stderr.strip() or "no reason given"
        raise DeployError(
            f"the minion cannot be restarted over SSH: {reason}",
            node=target.name,
            hint=_redeploy(target.name),
            log=LOG,
        )


def _redeploy(name: str) -> str:
    return f"deploy the node again: salt-run metalk8s_expand.expand {name} redeploy=True"


def _key_on_host(target: Target, wait: Wait, clock: Clock) -> str:
    """Return the fingerprint of the key that the host's own minion has made.

    A key on the master may be an impostor's that arrived before the minion made its own.
    """
    wait = replace(wait, what="the minion to create its key", interval=2.0, error=UnreachableError)
    return retry_until(wait, lambda: on_host(target), clock)


def _accept_and_ping(keys: Keys, minions: Minions, name: str, shown: str) -> Pending | None:
    directory = _directory(keys, name, shown)
    if directory != ACCEPTED and not (directory == PENDING and keys.accept(name)):
        return Pending(
            [f"its key is in {directory} and not accepted; show it with: salt-key --print {name}"]
        )
    return None if minions.ping(name) else Pending(["the minion does not answer test.ping"])


def _directory(keys: Keys, name: str, shown: str) -> str:
    """Return the directory of the key, after comparing the key with the one that the host shows."""
    directory, public_key = keys.public_key(name) or ("no directory", "")
    offered = fingerprint(public_key)
    if not public_key or offered == shown:
        return directory
    raise ConflictError(
        f"the key in {directory} has the fingerprint {offered}, but the host shows {shown}"
        " over SSH",
        node=name,
        hint=(
            f"if the host was reinstalled: salt-key --delete {name}, then run the same command"
            " again; otherwise find the impostor first"
        ),
        log="/var/log/salt/master",
    )
