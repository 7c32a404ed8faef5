"""Check that salt-ssh can work on a host, with one login and one command."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metalk8s_expand.clients.ssh import command, thin
from metalk8s_expand.clients.ssh.command import CommandResult, Target
from metalk8s_expand.clients.ssh.diagnosis import error
from metalk8s_expand.domain.preflight.ssh_failures import SSHFailure
from metalk8s_expand.errors import ExpandError

# salt-ssh looks for Python under these names, as far as they are Python 3.
INTERPRETERS = "python3 /usr/libexec/platform-python python"
VERSION = "import sys; print(sys.version_info[:3])"
PYTHON = f'"$p" -ESc "{VERSION}"'
SUDO = "LC_ALL=C sudo -n"
# One line without single quotes and "!", which every login shell passes on to sh. One Python runs,
# unless sudo refuses: then whether Python runs without, whether sudo is there, lets its rules be
# read, and permits this.
FIND = f"for n in {INTERPRETERS}; do p=$(command -v $n) && break; done"
LOOK = f"v=$({PYTHON}); s=$?"
LOOK_WITH_SUDO = (
    f"v=$({SUDO} -- {PYTHON}); s=$?; if [ $s -gt 0 ]; then u=$s; v=$({PYTHON}); s=$?; command -v"
    " sudo >/dev/null || u=none;"
    f' {SUDO} -l >/dev/null 2>&1; l=$?; {SUDO} -l -- "$p" >/dev/null 2>&1; c=$?; fi'
)
# The exit code of sudo does not show that it wants a password, or why. sudo and sudo-rs print one
# of these texts in LC_ALL=C.
# Text of sudo with the option requiretty, which precedes every other refusal.
REQUIRES_TTY = re.compile(r"must have a tty", re.IGNORECASE)
WANTS_PASSWORD = re.compile(r"password|interactive authentication", re.IGNORECASE)


@dataclass(frozen=True)
class Checked:
    """A host that salt-ssh could work on: seconds of the one call, the version of its Python, and
    where that is.

    ``note`` tells which program replaces a Python that is too old for salt-ssh; it is empty if
    none has to.
    """

    elapsed: float
    python: tuple[int, ...]
    interpreter: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the data for JSON."""
        data = {
            "seconds": round(self.elapsed, 3),
            "python": ".".join(map(str, self.python)),
            "interpreter": self.interpreter,
        }
        return {**data, "note": self.note} if self.note else data


def check_ssh(
    hosts: Sequence[Target], timeout: float, max_parallel: int = 32
) -> dict[str, Checked | ExpandError]:
    """Return by node name the result for each host, or why salt-ssh cannot work there.

    Each host has ``timeout`` seconds.
    """

    def attempt(target: Target) -> Checked:
        mark = secrets.token_hex(8)
        # The script searches Python as the user, and sudo is part of the command.
        answer = command.run(
            replace(target, sudo=False),
            ["/bin/sh", "-c", script(target.sudo, mark)],
            timeout=timeout,
        )
        return _judged(target, answer, mark)

    return dict(command.on_all(hosts, attempt, max_parallel))


def script(sudo: bool, mark: str) -> str:
    """Return the host's script; ``mark`` separates its lines from the login shell's output."""
    look = LOOK_WITH_SUDO if sudo else LOOK
    look_if_found = f'if [ -n "$p" ]; then {look}; fi'
    show = f'echo "{mark} end [$p] [$s] [$u] [$l] [$c] [$v]"'
    return f"echo {mark} begin; p=; s=; u=; l=; c=; {FIND}; {look_if_found}; {show}"


@dataclass(frozen=True)
class _ScriptOutput:
    """What the script found: an interpreter, its exit code and output; and when sudo refused, what
    it said to the questions.
    """

    noise: str
    interpreter: str
    ended: str
    version: tuple[int, ...]
    sudo: str
    may_list: bool
    may_run: bool
    stderr: str


def _judged(target: Target, answer: CommandResult, mark: str) -> Checked:
    output = _parsed(answer, mark)
    if output is None:
        printed = (answer.stdout + answer.stderr).strip() or "nothing"
        detail = (
            f"the shell ended with {answer.returncode} and did not run the command; "
            f"it printed: {printed[:500]}"
        )
        raise error(target, SSHFailure("shell-runs-no-command", detail))
    troubles = list(_troubles(target, output))
    if troubles:
        raise error(target, *troubles)
    note = ""
    if target.pre_flight and (age := _age(output)):
        note = f"{age}; {target.pre_flight} of the master installs one when salt-ssh connects"
    return Checked(answer.elapsed, output.version, output.interpreter, note)


def _parsed(answer: CommandResult, mark: str) -> _ScriptOutput | None:
    fields = r" ".join([r"\[(.*?)\]"] * 6)
    match = re.search(rf"(.*){mark} begin\n(.*){mark} end {fields}\n(.*)", answer.stdout, re.DOTALL)
    if not match:
        return None
    before, between, path, ended, sudo, may_list, may_run, version, after = match.groups()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version))
    noise = (before + between + after).strip()
    return _ScriptOutput(
        noise, path, ended, numbers, sudo, may_list == "0", may_run == "0", answer.stderr.strip()
    )


def _troubles(target: Target, output: _ScriptOutput) -> Iterator[SSHFailure]:
    """Yield the problems, the most fundamental first."""
    yield from _python(target, output)
    yield from _sudo(target, output)
    if output.noise:
        yield SSHFailure(
            "shell-noise",
            f"the login shell of {target.user} prints on stdout: {output.noise[:200]!r}",
        )


def _python(target: Target, output: _ScriptOutput) -> Iterator[SSHFailure]:
    if not output.interpreter:
        yield SSHFailure("no-python", f"no Python is installed: none of {INTERPRETERS} exists")
        return
    if output.ended != "0" or not output.version:
        yield SSHFailure(
            "no-python",
            f"{output.interpreter} does not run, it ended with {output.ended}: "
            f"{output.stderr[:300]}",
        )
        return
    if not target.pre_flight and (age := _age(output)):
        yield SSHFailure("python-too-old", age)


def _age(output: _ScriptOutput) -> str:
    """Return why the host's Python is too old for salt-ssh, or an empty string."""
    unmet = thin.unmet(output.version)
    if not unmet:
        return ""
    version = ".".join(map(str, output.version))
    wanted = ".".join(map(str, thin.minimum()))
    needed = ", ".join(map(str, unmet))
    return (
        f"{output.interpreter} is Python {version}, "
        f"but salt-ssh needs {wanted} or newer for {needed}"
    )


def _sudo(target: Target, output: _ScriptOutput) -> Iterator[SSHFailure]:
    if not output.sudo:
        return
    if output.sudo == "none":
        yield SSHFailure("no-sudo", "sudo is not installed")
    elif REQUIRES_TTY.search(output.stderr):
        yield SSHFailure(
            "sudo-requires-tty",
            f"sudo refuses {target.user} without a terminal: {output.stderr[:300]}",
        )
    elif output.may_list and not output.may_run:
        yield SSHFailure(
            "sudo-refused",
            f"sudo permits {target.user} to run other commands, but not {output.interpreter}: "
            f"{output.stderr[:300]}",
        )
    elif output.may_run or WANTS_PASSWORD.search(output.stderr):
        hidden = (
            ""
            if output.may_run
            else " (it asks for the password before it checks whether sudoers contains the user)"
        )
        yield SSHFailure(
            "sudo-needs-password",
            f"sudo requires a password of {target.user}{hidden}: {output.stderr[:300]}",
        )
    else:
        yield SSHFailure("sudo-refused", f"sudo refuses {target.user}: {output.stderr[:300]}")
