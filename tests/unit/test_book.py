"""A reader of the book types commands into shells; here they are shells of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.documented import Block, Mark
from tests.lab.book import MACHINE, Done, Reader, Shell


@pytest.fixture
def shell() -> Iterator[Shell]:
    made = Shell([])
    yield made
    made.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    with ExitStack() as shells:
        yield Reader(shells)


def block(*commands: str, code: int = 0) -> Block:
    return Block("a.rst", 1, tuple(f"$ {text}" for text in commands), Mark(MACHINE, code))


def test_shell_keeps_what_a_command_has_defined(shell: Shell) -> None:
    assert shell.type("f() { echo \"$1 $B\"; }; export B='b c'; cd /") == Done(0, "", "")
    assert shell.type("f a; pwd") == Done(0, "a b c\n/\n", "")


def test_shell_returns_exit_code_and_both_streams_of_each_command(shell: Shell) -> None:
    assert shell.type("echo one >&2; printf two; false") == Done(1, "two", "one\n")
    assert shell.type("cat; true # comment") == Done(0, "", "")


def test_command_that_does_not_end_is_an_error(shell: Shell) -> None:
    with pytest.raises(AssertionError, match=r"sleep 1: 0\.1 s"):
        shell.type("sleep 1", timeout=0.1)


def test_command_that_ends_the_shell_is_an_error(shell: Shell) -> None:
    with pytest.raises(AssertionError, match="exit 3 ended the shell: last"):
        shell.type("echo last; exit 3")


def test_reader_compares_exit_code_of_last_command(reader: Reader) -> None:
    reader.follow(block("true", "(exit 3)", code=3))
    with pytest.raises(AssertionError, match=r"a\.rst:1: false ended with 1"):
        reader.follow(block("false", "true"))
    with pytest.raises(AssertionError, match="true ended with 0"):
        reader.follow(block("true", code=3))


def test_reader_types_a_plain_call_once(reader: Reader, tmp_path: Path) -> None:
    called = tmp_path / "called"
    reader.follow(block(f"salt-run() {{ echo $1 >> {called}; }}"))
    for _ in range(2):
        reader.follow(block("salt-run a"))
        reader.follow(block("salt-run b", "true"))
    assert called.read_text() == "a\nb\nb\n"
