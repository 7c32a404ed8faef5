"""Measure check_ssh against other SSH tools.

The hosts, the SSH options and the remote command are the same.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from bench import ansible
from bench.rows import Row, in_turns, timed
from bench.sshd import Hosts, running
from metalk8s_expand.clients.ssh.command import Target
from metalk8s_expand.errors import UnreachableError
from metalk8s_expand.preflight.ssh import Checked, check_ssh, script

COUNT, SILENT, FEW = 500, 50, 100
AT_A_TIME = 32
# All hosts run on the few CPUs of this machine, so a deadline must hold for all of them together.
DEADLINE_S = 60.0
ROUNDS = 2


def rows() -> Iterator[Row]:
    """Yield the rows; check_ssh and its peers take turns, so that the load affects both equally."""
    program = ansible.program("ansible")
    with running() as hosts:
        targets = hosts.targets(COUNT)
        ours, xargs, playing = in_turns(
            ROUNDS,
            lambda: _all_well(targets),
            lambda: _xargs(targets),
            lambda: _ansible_raw(program, hosts, targets),
        )
        what = f"check_ssh of {COUNT} hosts"
        yield Row(what, ours, f"xargs -P{AT_A_TIME} ssh, same command", xargs, 1.15)
        yield Row(
            what,
            ours,
            f"{ansible.PACKAGE} -m raw -f {AT_A_TIME}, same command",
            playing,
            1.7,
            faster=True,
        )
        few = targets[:FEW]
        _salt_ssh(hosts, few[:1])
        some, salt = in_turns(1, lambda: _all_well(few), lambda: _salt_ssh(hosts, few))
        yield Row(
            f"check_ssh of {FEW} hosts",
            some,
            "salt-ssh test.ping, thin deployed before",
            salt,
            10,
            faster=True,
        )
        taken = timed(lambda: _some_silent(hosts.targets(COUNT, SILENT)))
        yield Row(
            f"check_ssh of {COUNT} hosts, {SILENT} of them silent",
            taken,
            "the deadline of a host",
            DEADLINE_S,
            1.2,
        )


def _all_well(targets: Sequence[Target]) -> None:
    found = check_ssh(targets, DEADLINE_S, AT_A_TIME)
    bad = [answer for answer in found.values() if not isinstance(answer, Checked)]
    if bad:
        raise RuntimeError(f"{len(bad)} hosts are not well: {bad[0]}")


def _some_silent(targets: Sequence[Target]) -> None:
    found = check_ssh(targets, DEADLINE_S, AT_A_TIME).values()
    silent = [
        answer
        for answer in found
        if isinstance(answer, UnreachableError) and answer.cause == "banner-time-out"
    ]
    well = [answer for answer in found if isinstance(answer, Checked)]
    if (len(well), len(silent)) != (COUNT - SILENT, SILENT):
        raise RuntimeError(f"{len(well)} hosts are well and {len(silent)} silent")


def _command() -> str:
    return shlex.join(["/bin/sh", "-c", script(False, "0123456789abcdef")])


def _xargs(targets: Sequence[Target]) -> None:
    # setsid gives every ssh its own session, as check_ssh does: a kernel may share CPUs by session.
    arguments = ["setsid", *targets[0].openssh(connect_timeout=DEADLINE_S), "--", "{}", _command()]
    addresses = "\n".join(target.host for target in targets)
    done = _run(["xargs", f"-P{AT_A_TIME}", "-I{}", *arguments], addresses)
    _complete("xargs", done.count("end ["), targets)


def _ansible_raw(program: Path, hosts: Hosts, targets: Sequence[Target]) -> None:
    inventory = hosts.base / "inventory"
    options = shlex.join(part for option in targets[0].options for part in ("-o", option))
    common = (
        f"ansible_port={hosts.port} ansible_user={targets[0].user}"
        f" ansible_ssh_private_key_file={hosts.key}"
    )
    lines = [f"{target.name} ansible_host={target.host}" for target in targets]
    inventory.write_text(
        "\n".join(
            [
                "[all]",
                *lines,
                "[all:vars]",
                *common.split(),
                f"ansible_ssh_common_args={options}",
                "",
            ]
        )
    )
    arguments = ["all", "-i", str(inventory), "-m", "raw", "-f", str(AT_A_TIME), "-a", _command()]
    shared = hosts.base / "shared"
    home = {"HOME": str(hosts.base / "home"), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(shared)}
    done = _run([str(program), *arguments], "", {**os.environ, **home, "LC_ALL": "C.UTF-8"})
    _complete("ansible", done.count("end ["), targets)
    # Ansible leaves its connections open for a minute, and the next run would reuse them.
    for path in shared.glob("*"):
        subprocess.run(
            ["ssh", "-O", "exit", "-o", f"ControlPath={path}", "none"],
            capture_output=True,
            check=False,
            timeout=10,
        )


def _salt_ssh(hosts: Hosts, targets: Sequence[Target]) -> None:
    """Run salt-ssh with its own roster file and directory; all hosts share one thin directory."""
    root = hosts.base / "salt"
    root.mkdir(exist_ok=True)
    entries = {
        target.name: {
            "host": target.host,
            "port": target.port,
            "user": target.user,
            "priv": target.key_path,
            "thin_dir": str(hosts.base / "thin"),
            "ssh_options": list(target.options),
        }
        for target in targets
    }
    (root / "roster").write_text(yaml.safe_dump(entries))
    (root / "master").write_text(
        yaml.safe_dump({"root_dir": str(root), "cachedir": str(root / "cache")})
    )
    program = str(Path(sys.executable).parent / "salt-ssh")
    given = ["-c", str(root), "--roster-file", str(root / "roster"), "--max-procs", str(AT_A_TIME)]
    done = _run([program, *given, "*", "test.ping"])
    _complete("salt-ssh", done.count("True"), targets)


def _run(
    arguments: Sequence[str], data: str = "", environment: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        arguments,
        input=data,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=1800,
    )
    if done.returncode:
        raise RuntimeError(
            f"{arguments[0]} ended with {done.returncode}: {done.stdout[-500:]}"
            f" {done.stderr[-1000:]}"
        )
    return done.stdout


def _complete(what: str, answers: int, targets: Sequence[Target]) -> None:
    if answers != len(targets):
        raise RuntimeError(f"{what}: {answers} answers of {len(targets)} hosts")
