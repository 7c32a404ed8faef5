"""Run shell commands of role states on this host."""

from __future__ import annotations

import subprocess

from metalk8s_expand.errors import DeployError, visible

# The last characters of a command's output that an error shows.
SHOWN = 500


def succeeds(command: str, timeout_s: float) -> bool:
    """Return whether a shell command ends with exit code 0 within this many seconds."""
    try:
        return not _run(command, timeout_s).returncode
    except subprocess.TimeoutExpired:
        return False


def run(command: str, timeout_s: float) -> None:
    """Run a shell command.

    Raises DeployError with the end of its output if it fails or takes longer than ``timeout_s``
    seconds.
    """
    try:
        done = _run(command, timeout_s)
    except subprocess.TimeoutExpired as error:
        raise DeployError(
            f"{command!r} has not ended after {timeout_s:.0f} s",
            hint="run it on the node, and run the same expansion again",
        ) from error
    if done.returncode:
        output = visible((done.stdout + done.stderr).decode(errors="replace").strip()[-SHOWN:])
        raise DeployError(
            f"{command!r} ended with exit code {done.returncode}: {output or 'no output'}",
            hint="fix it on the node, and run the same expansion again",
        )


def _run(command: str, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
