"""Tests that a minion's key is accepted only if the host itself shows it over SSH."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.cluster import minion_key
from metalk8s_expand.domain.salt.fingerprint import fingerprint
from metalk8s_expand.errors import ConflictError, DeadlineError, DeployError, UnreachableError
from tests.fakes.clock import FakeClock
from tests.fakes.keys import FakeKeys
from tests.fakes.minions import FakeMinions
from tests.unit.metalk8s_expand.conftest import Sshd, free_port

PEM = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq\nhkiG9w0BAQEF\n-----END PUBLIC KEY-----\n"
OTHER = PEM.replace("MIIB", "MIIC")
DENIED = "minions_denied"


def key_of(
    clock: FakeClock, key: str = PEM, directory: str = minion_key.PENDING, arrives: float = 0.0
) -> FakeKeys:
    """Return the keys of a master that has this key of w-1 after ``arrives`` seconds."""
    return FakeKeys({"w-1": (directory, key)}, clock, clock.time + arrives)


def minions_of(keys: FakeKeys, answers: float = 0.0, flips: int = 0) -> FakeMinions:
    """Return minions that answer a ping after ``answers`` seconds."""
    return FakeMinions(keys=keys, pings_at=keys.clock.monotonic() + answers, flips=flips)


@pytest.fixture
def host(sshd: Sshd) -> Sshd:
    """A host that shows the key PEM, with different line ends."""
    shown = sshd.base / "minion.pub"
    shown.write_text(PEM.replace("\n", "\r\n"))
    sshd.force(f"cat {shown}")
    return sshd


def accept(keys: Any, minions: Any, sshd: Sshd, timeout: float = 60.0) -> dict[str, str]:
    return minion_key.accept(keys, minions, sshd.target(), timeout, keys.clock)


def test_key_of_host_is_accepted(host: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, arrives=10)
    assert minion_key.pending_change(keys, "w-1") is not None  # type: ignore[arg-type]
    assert accept(keys, minions_of(keys, answers=20), host) == {"accepted": fingerprint(PEM)}
    assert keys.accepted == ["w-1"]


def test_second_run_changes_nothing(host: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, directory=minion_key.ACCEPTED)
    assert minion_key.pending_change(keys, "w-1") is None  # type: ignore[arg-type]
    assert accept(keys, minions_of(keys), host) == {}
    assert keys.accepted == []


def test_acceptance_that_is_undone_is_repeated(host: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock)
    assert "accepted" in accept(keys, minions_of(keys, flips=2), host)
    assert keys.accepted == ["w-1"] * 3


@pytest.mark.parametrize("directory", [minion_key.PENDING, minion_key.ACCEPTED, DENIED])
def test_key_that_differs_from_host_is_never_accepted(
    host: Sshd, clock: FakeClock, directory: str
) -> None:
    keys = key_of(clock, OTHER, directory)
    with pytest.raises(ConflictError) as error:
        accept(keys, minions_of(keys), host)
    assert keys.accepted == []
    assert fingerprint(PEM) in error.value.message
    assert fingerprint(OTHER) in error.value.message
    assert "salt-key --delete w-1" in str(error.value.hint)
    assert error.value.node == "w-1"


def test_key_that_is_exchanged_meanwhile_is_not_accepted(host: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock)
    minions = minions_of(keys)

    def exchanged(minion: str) -> bool:
        keys.known[minion] = (minion_key.PENDING, OTHER)
        return False

    minions.ping = exchanged  # type: ignore[method-assign]
    with pytest.raises((ConflictError, DeadlineError), match="shows"):
        accept(keys, minions, host)
    assert keys.accepted == ["w-1"]


@pytest.mark.parametrize("directory", [DENIED, "minions_rejected"])
def test_denied_key_stays_denied(host: Sshd, clock: FakeClock, directory: str) -> None:
    keys = key_of(clock, directory=directory)
    with pytest.raises(DeadlineError, match=directory) as error:
        accept(keys, minions_of(keys), host)
    assert "salt-key --print w-1" in error.value.summary
    assert keys.accepted == []


def test_key_that_never_arrives_is_an_error(host: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, arrives=1000)
    with pytest.raises(DeadlineError, match="no key of this name") as error:
        accept(keys, minions_of(keys), host, timeout=30)
    assert clock.time - 1000 == pytest.approx(30, abs=1)
    assert "4505" in str(error.value.hint)
    assert error.value.log


def test_impostor_key_before_host_has_made_its_key_is_refused(sshd: Sshd, clock: FakeClock) -> None:
    shown = sshd.base / "minion.pub"
    sshd.force(f"cat {shown}")
    sleep = clock.sleep

    def makes(seconds: float) -> None:
        sleep(seconds)
        shown.write_text(PEM)

    clock.sleep = makes  # type: ignore[method-assign]
    keys = key_of(clock, OTHER)
    with pytest.raises(ConflictError) as error:
        accept(keys, minions_of(keys), sshd)
    assert fingerprint(PEM) in error.value.message
    assert fingerprint(OTHER) in error.value.message


def test_minion_that_never_answers_is_an_error(host: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock)
    with pytest.raises(DeadlineError, match=r"test\.ping"):
        accept(keys, minions_of(keys, answers=1000), host)


class TestAdmission:
    """The key is accepted before the minion presents it; the host has shown it over SSH."""

    def admit(self, keys: FakeKeys, shown: str = PEM) -> bool:
        return minion_key.admit(keys, "w-1", shown)  # type: ignore[arg-type]

    def test_unknown_key_is_added_as_accepted(self, clock: FakeClock) -> None:
        keys = FakeKeys(clock=clock)
        assert self.admit(keys)
        assert keys.known == {"w-1": (minion_key.ACCEPTED, PEM)}

    def test_pending_key_of_the_host_is_accepted(self, clock: FakeClock) -> None:
        keys = key_of(clock)
        assert self.admit(keys, PEM.replace("\n", "\r\n"))
        assert (keys.added, keys.accepted) == ([], ["w-1"])

    def test_accepted_key_of_the_host_changes_nothing(self, clock: FakeClock) -> None:
        keys = key_of(clock, directory=minion_key.ACCEPTED)
        assert not self.admit(keys)
        assert (keys.added, keys.accepted) == ([], [])

    @pytest.mark.parametrize(
        "directory", [minion_key.PENDING, minion_key.ACCEPTED, DENIED, "minions_rejected"]
    )
    def test_key_of_another_host_is_a_conflict_and_stays(
        self, clock: FakeClock, directory: str
    ) -> None:
        keys = key_of(clock, OTHER, directory)
        with pytest.raises(ConflictError, match="but the host shows") as error:
            self.admit(keys)
        assert (keys.added, keys.accepted) == ([], [])
        assert keys.known == {"w-1": (directory, OTHER)}
        assert error.value.node == "w-1"

    @pytest.mark.parametrize("directory", [DENIED, "minions_rejected"])
    def test_rejected_key_of_the_host_stays_rejected(
        self, clock: FakeClock, directory: str
    ) -> None:
        keys = key_of(clock, directory=directory)
        with pytest.raises(ConflictError, match=f"is in {directory} and not accepted") as error:
            self.admit(keys)
        assert keys.known == {"w-1": (directory, PEM)}
        assert "salt-key --delete w-1" in str(error.value.hint)
        assert error.value.log

    def wait(self, keys: FakeKeys, minions: FakeMinions, clock: FakeClock) -> None:
        minion_key.wait_for_answer(keys, minions, "w-1", PEM, clock)  # type: ignore[arg-type]

    def test_answer_of_the_minion_ends_the_wait(self, clock: FakeClock) -> None:
        keys = key_of(clock, directory=minion_key.ACCEPTED)
        self.wait(keys, minions_of(keys, answers=10), clock)
        assert clock.time - 1000 == pytest.approx(10, abs=1)

    def test_acceptance_that_the_master_undoes_is_repeated(self, clock: FakeClock) -> None:
        keys = key_of(clock, directory=minion_key.ACCEPTED)
        self.wait(keys, minions_of(keys, flips=2), clock)
        assert keys.accepted == ["w-1"] * 2

    def test_silent_minion_is_an_error_with_its_logs(self, clock: FakeClock) -> None:
        keys = key_of(clock, directory=minion_key.ACCEPTED)
        with pytest.raises(DeployError, match=r"does not answer test\.ping") as error:
            self.wait(keys, minions_of(keys, answers=1000), clock)
        assert clock.time - 1000 == pytest.approx(minion_key.ANSWER_S, abs=1)
        assert "4505" in str(error.value.hint)
        assert error.value.log

    def test_key_that_is_exchanged_during_the_wait_is_never_accepted(
        self, clock: FakeClock
    ) -> None:
        keys = key_of(clock, OTHER)
        with pytest.raises(DeployError, match="but the host shows"):
            self.wait(keys, minions_of(keys), clock)
        assert keys.accepted == []


def reconnect(keys: FakeKeys, minions: FakeMinions, sshd: Sshd, clock: FakeClock) -> None:
    steps = minion_key.reconnect(keys, minions, sshd.target(), clock)  # type: ignore[arg-type]
    for pause in steps:
        clock.sleep(pause)


def restarts(sshd: Sshd) -> int:
    """Return how often the host has restarted its minion."""
    log = sshd.base / "restarts"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def live(host: Sshd) -> Sshd:
    """A host that shows its key, and counts the restarts of its minion."""
    (host.base / "restarts").unlink(missing_ok=True)
    script = host.base / "answer"
    script.write_text(
        f'case "$SSH_ORIGINAL_COMMAND" in *systemctl*salt-minion*) echo x >> {host.base}/restarts;;'
        f" *) cat {host.base}/minion.pub;; esac\n"
    )
    host.force(f"sh {script}")
    return host


def test_minion_with_deleted_key_is_restarted_and_accepted(live: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, arrives=10)
    reconnect(keys, minions_of(keys, answers=20), live, clock)
    assert (restarts(live), keys.accepted) == (1, ["w-1"])


def test_dead_minion_is_restarted(live: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, directory=minion_key.ACCEPTED)
    reconnect(keys, minions_of(keys, answers=10), live, clock)
    assert (restarts(live), keys.accepted) == (1, [])


def test_foreign_key_is_not_accepted_by_a_reconnection(live: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, OTHER)
    with pytest.raises(ConflictError, match="the host shows"):
        reconnect(keys, minions_of(keys), live, clock)
    assert keys.accepted == []


def test_minion_that_does_not_return_needs_a_deployment(
    live: Sshd, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each attempt is a real login.
    monkeypatch.setattr(minion_key, "RECONNECT_S", 8.0)
    keys = key_of(clock)
    with pytest.raises(DeployError, match=r"does not answer test\.ping") as error:
        reconnect(keys, minions_of(keys, answers=1000), live, clock)
    assert "expand w-1 redeploy=True" in str(error.value.hint)
    assert clock.time - 1000 == pytest.approx(minion_key.RECONNECT_S, abs=1)


def test_host_without_minion_needs_a_deployment(sshd: Sshd, clock: FakeClock) -> None:
    sshd.force("echo 'Unit salt-minion.service not found.' >&2; exit 5")
    keys = key_of(clock)
    with pytest.raises(DeployError, match="not found") as error:
        reconnect(keys, minions_of(keys), sshd, clock)
    assert "expand w-1 redeploy=True" in str(error.value.hint)


def test_acceptance_restarts_a_minion_that_presents_no_key(live: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock, arrives=minion_key.PRESENTED_S + 5)
    assert "accepted" in accept(keys, minions_of(keys), live)
    assert restarts(live) == 1


@pytest.mark.parametrize("script", ["exit 0", "echo 'no such file' >&2; exit 1"])
def test_host_without_key_is_an_error(sshd: Sshd, clock: FakeClock, script: str) -> None:
    sshd.force(script)
    keys = key_of(clock)
    with pytest.raises(UnreachableError, match="public key cannot be read"):
        accept(keys, minions_of(keys), sshd, 3.0)
    assert keys.accepted == []


def test_unreachable_host_is_an_error(sshd: Sshd, clock: FakeClock) -> None:
    keys = key_of(clock)
    with pytest.raises(UnreachableError, match="connection refused"):
        minion_key.accept(keys, minions_of(keys), sshd.target(port=free_port()), 5, clock)  # type: ignore[arg-type]
    assert keys.accepted == []


@pytest.mark.parametrize(
    "text", [PEM, PEM.strip(), PEM.replace("\n", "\r\n"), f"\n  {PEM}\n", PEM.replace("q\nh", "qh")]
)
def test_fingerprints_ignore_white_space(text: str) -> None:
    assert fingerprint(text) == fingerprint(PEM)
    assert len(fingerprint(text)) == 95


def test_fingerprints_differ() -> None:
    assert fingerprint(PEM) != fingerprint(OTHER)
