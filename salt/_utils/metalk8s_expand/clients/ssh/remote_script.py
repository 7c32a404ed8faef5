"""Run a single-file Python script of ``remote`` on a host, in one SSH call.

The host's shell selects the Python, so that a healthy host costs one ``ssh`` process.
"""

from __future__ import annotations

from dataclasses import replace

from metalk8s_expand.clients.ssh.command import CommandResult, Target, run
from metalk8s_expand.errors import UnreachableError

# A bare RHEL 8 has its only Python here. The scripts need Python 3.6.
PLATFORM_PYTHON = "/usr/libexec/platform-python"
IS_OLD = "import sys; sys.exit(sys.version_info < (3, 6))"
# Without the user's and the site's modules, and without writing compiled modules.
OPTIONS = ("-BIS", "-")
SUDO = "sudo -n -- "


def run_script(target: Target, source: str, argument: str, timeout: float) -> CommandResult:
    """Send a script to the host's Python and return its output.

    ``argument`` is the script's only argument. ``timeout`` is in seconds. Raises
    UnreachableError as ``command.run`` does.
    """
    words = ["/bin/sh", "-c", shell_script(target.sudo), "sh", argument]
    # sudo runs only the Python, as in salt-ssh: sudoers may permit nothing else.
    return run(replace(target, sudo=False), words, stdin=source, timeout=timeout)


def no_answer(node: str, what: str, answer: CommandResult, hint: str = "") -> UnreachableError:
    """Return the error for a script whose output has no answer.

    ``what`` is the beginning of the sentence, which goes on with how the script ended and what it
    printed. ``hint`` is by default the check of this node's SSH.
    """
    said = answer.stderr.strip() or answer.stdout.strip() or "no output"
    return UnreachableError(
        f"{what} ended with {answer.returncode}: {said[-300:]}",
        node=node,
        hint=hint or f"find out why with: salt-run metalk8s_expand.check_ssh {node}",
        log="journalctl --unit ssh --unit sshd on the host",
    )


def shell_script(sudo: bool) -> str:
    """Return one line without single quotes and "!", which every login shell passes on to sh."""
    select = f'p=python3; q={PLATFORM_PYTHON}; if [ -x "$q" ]; then {_is_usable()} || p=$q; fi'
    return f'{select}; exec {SUDO if sudo else ""}"$p" {" ".join(OPTIONS)} "$@"'


def _is_usable() -> str:
    return f'python3 -ISc "{IS_OLD}" 2>/dev/null'
