"""Type the blocks of the pages into shells of the lab's hosts, literally.

All blocks of a page that have the same host in their prompt are typed into one shell, so that a
variable and a function of one block are there in the next. The shell's directory is empty and is
deleted at the end.
"""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.documented import Block, Command, blocks
from tests.lab.hosts import ENVIRONMENT, LAB, REPOSITORY
from tests.recorded import problems

# The hosts that the prompts of the pages name. An empty prompt is that of the bootstrap node.
PLACES = {"": "bootstrap", "master": "bootstrap", "bootstrap": "bootstrap", "host": "worker-1"}
MACHINE = "on the development machine"
PATIENCE_S = 300
_END = "END-OF-THE-COMMAND"
# A block of such calls does the same each time, so it runs once in each situation.
_PLAIN_CALL = re.compile(r"salt-run [^>|$;&]+")


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str


class Shell:
    """A bash that reads its commands from this process."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*argv, "bash"],
            cwd=REPOSITORY,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def type(self, command: str, timeout: float = PATIENCE_S) -> Done:
        """Run a command and return its result. The shell keeps what the command has defined."""
        assert self._process.stdin is not None
        begin = self._errors.seek(0, os.SEEK_END)
        script = f"{{ {command}\n}} </dev/null\nprintf '\\n{_END} %s\\n' $?\n"
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        stdout, code = self._until_end(command, timeout)
        self._errors.seek(begin)
        return Done(code, stdout, self._errors.read().decode(errors="replace"))

    def close(self) -> None:
        """Let the shell end, or kill it if a command prevents that."""
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    def _until_end(self, command: str, timeout: float) -> tuple[str, int]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        printed = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not (end := re.search(rb"\n" + _END.encode() + rb" (\d+)\n$", printed)):
                assert selector.select(deadline - time.monotonic()), f"{command}: {timeout} s"
                read = os.read(self._process.stdout.fileno(), 65536)
                assert read, f"{command} ended the shell: {printed.decode(errors='replace')}"
                printed += read
        return printed[: end.start()].decode(errors="replace"), int(end[1])


class Reader:
    """A reader of the book, who types the commands of a page into the shells of that page."""

    def __init__(self, shells: ExitStack) -> None:
        self._stack = shells
        self._shells: dict[tuple[str, str], Shell] = {}
        self._done: dict[tuple[str, str], Done] = {}

    def follow(self, block: Block) -> None:
        """Type the commands of a block; compare the exit codes and the outputs."""
        assert block.commands
        for number, command in enumerate(block.commands, 1):
            wanted = block.mark.code if number == len(block.commands) else 0
            done = self._type(block, command)
            assert done.code == wanted, (
                f"{block}: {command.text} ended with {done.code}\n{done.stdout}\n{done.stderr}"
            )
        differing = [line for output in block.outputs for line in problems(output, done.stdout)]
        assert not differing, "\n".join([f"{block}:", *differing])

    def _type(self, block: Block, command: Command) -> Done:
        """Return the result of the command, or that of the same call in the same situation."""
        call = (block.mark.situation, command.text)
        is_plain = all(_PLAIN_CALL.fullmatch(item.text) for item in block.commands)
        if call not in self._done or not is_plain:
            self._done[call] = self._shell(block, command.where).type(command.text)
        return self._done[call]

    def _shell(self, block: Block, where: str) -> Shell:
        place = MACHINE if block.mark.situation == MACHINE else PLACES.get(where, where)
        key = (block.page, place)
        if key not in self._shells:
            argv = [] if place == MACHINE else [LAB, "exec", place, "--"]
            shell = self._shells[key] = Shell(argv)
            self._stack.callback(shell.close)
            if place != MACHINE:
                made = shell.type('made=$(mktemp -d) && cd "$made" && echo "$made"')
                assert made.code == 0, made
                self._stack.callback(shell.type, f"cd / && rm -rf {made.stdout.strip()}")
        return self._shells[key]


def cases(situation: str) -> Any:
    """Return the blocks of a situation as parameters; the ID is the page and the first command."""
    found = [block for block in blocks() if block.mark.situation == situation]
    return pytest.mark.parametrize(
        "block",
        found,
        ids=[
            f"{block.page.removesuffix('.rst')}: {block.commands[0].text[:70]}" for block in found
        ],
    )


def reader() -> Iterator[Reader]:
    """Yield a reader, and end its shells."""
    with ExitStack() as shells:
        yield Reader(shells)
