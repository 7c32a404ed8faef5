"""Run other programs, always with a list of arguments and a timeout."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from metalk8s_lab.errors import LabError

_TAIL_CHARACTERS = 3000


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    check: bool = True,
    input: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its result.

    Raise ``LabError`` with the end of its output if it fails, and also after ``timeout`` seconds.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            timeout=timeout,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(words)}: not done within {timeout:.0f} s") from error
    except OSError as error:
        raise LabError(f"{words[0]} cannot be run: {error}") from error
    if check and done.returncode != 0:
        output = (done.stdout + done.stderr).strip()[-_TAIL_CHARACTERS:]
        raise LabError(f"{' '.join(words)}: exit code {done.returncode}\n{output}")
    return done


def succeeds(argv: Sequence[str | Path], *, timeout: float = 30) -> bool:
    """Return whether a program runs and exits with 0; never raise ``LabError``."""
    try:
        return run(argv, timeout=timeout, check=False).returncode == 0
    except LabError:
        return False
