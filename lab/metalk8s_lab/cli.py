"""Run the command line: ``./lab/lab COMMAND``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from metalk8s_lab import bootstrap, settings
from metalk8s_lab.errors import LabError
from metalk8s_lab.hosts import host, machine
from metalk8s_lab.lab import Lab
from metalk8s_lab.lock import locked
from metalk8s_lab.topology import DEFAULT_NODES, find

# Docker uses the same code: it differs from the usual exit codes of the command in the host.
_NO_SUCH_HOST = 125


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and their arguments."""
    top = argparse.ArgumentParser(
        prog="lab", description="Real hosts on this machine, in a network of their own."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="build what is missing, start all hosts, make the first cluster on the bootstrap host",
    )
    up.add_argument(
        "--nodes",
        type=int,
        metavar="N",
        help=f"how many blank hosts (at first {DEFAULT_NODES}, then as before)",
    )
    up.add_argument(
        "--blank",
        action="store_true",
        help="make no cluster; hosts that exist keep what is on their disks",
    )
    commands.add_parser("down", help="stop all hosts; their disks stay")
    commands.add_parser(
        "destroy", help="down, and delete the disks, snapshots and keys; the cache stays"
    )
    commands.add_parser("build", help="only fill the cache")
    commands.add_parser("status", help="which hosts there are and run").add_argument(
        "--json", action="store_true"
    )
    execute = commands.add_parser("exec", help="run a command in a host: lab exec NODE -- CMD…")
    execute.add_argument("node")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD")
    for name, text in {
        "start": "let a host run",
        "stop": "power a host off",
        "kill": "let a host crash",
        "reset": "make a host blank again (same name, address and keys) and start it",
    }.items():
        commands.add_parser(name, help=text).add_argument("node")
    commands.add_parser("snapshot", help="keep all disks under a name").add_argument(
        "name", nargs="?", default="default"
    )
    back = commands.add_parser("rollback", help="put all disks back and start all hosts")
    back.add_argument("name", nargs="?", default="default")
    back.add_argument("--start", nargs="+", metavar="NODE", help="start these only")
    return top


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; ``exec`` gets the words after the first ``--`` unchanged."""
    words = list(argv)
    cut = words.index("--") if "--" in words else len(words)
    arguments = parser().parse_args(words[:cut])
    if arguments.command == "exec":
        arguments.argv += words[cut + 1 :]
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Return 0 on success and 1 with a message on failure. ``exec`` exits with the code of its
    command.
    """
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return _NO_SUCH_HOST if arguments.command == "exec" else 1
    except BrokenPipeError:
        # The reader of the output, such as ``head``, has closed the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; ./lab/lab down cleans up, ./lab/lab up resumes", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    lab = Lab(settings.from_environment())
    if arguments.command == "exec":
        return _exec(lab, arguments.node, arguments.argv)
    if arguments.command == "status":
        return _status(lab, arguments.json)
    if arguments.command in ("up", "build"):
        machine.check(lab.settings)
    else:
        machine.check_root()
    with locked(lab.settings.state):
        if arguments.command in ("up", "build"):
            machine.install_packages()
        _change(lab, arguments)
    return 0


def _change(lab: Lab, arguments: argparse.Namespace) -> None:
    with_node: dict[str, Callable[[str], None]] = {
        "start": lab.start,
        "stop": lab.stop,
        "kill": lab.kill,
        "reset": lab.reset,
    }
    if arguments.command in with_node:
        with_node[arguments.command](arguments.node)
    elif arguments.command == "snapshot":
        lab.snapshot(arguments.name)
    elif arguments.command == "rollback":
        lab.rollback(arguments.name, arguments.start)
    elif arguments.command == "up":
        lab.up(arguments.nodes)
        if not arguments.blank:
            bootstrap.provision(lab)
    elif arguments.command == "build":
        print(lab.build())
    elif arguments.command == "down":
        lab.down()
    elif arguments.command == "destroy":
        lab.destroy()


def _exec(lab: Lab, node: str, argv: list[str]) -> int:
    """Replace this process with the command, which inherits input, output, signals, exit code."""
    if not argv:
        raise LabError("exec: which command? lab exec NODE -- CMD…")
    machine.check_root()
    words = host.exec_argv(find(lab.hosts, node).name, argv)
    sys.stdout.flush()
    os.execvp(words[0], words)


def _status(lab: Lab, as_json: bool) -> int:
    status = lab.status()
    if as_json:
        print(json.dumps(status, indent=2))
        return 0
    for each in status["hosts"]:  # type: ignore[attr-defined]
        print(
            f"{each['name']:<12} {each['address']:<14}"
            f" {'running, PID ' + str(each['pid']) if each['pid'] else 'stopped'}"
        )
    print(f"network namespace: {status['namespace'] or 'none'}")
    print(f"snapshots: {', '.join(status['snapshots']) or 'none'}")  # type: ignore[arg-type]
    print(f"state: {status['state']}  cache: {status['cache']}")
    return 0
