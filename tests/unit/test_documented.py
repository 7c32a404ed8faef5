"""The commands and outputs that tests take from the documentation are all found there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documented import (
    DOCS,
    ROOT,
    SHOWN,
    SITUATIONS,
    Command,
    Output,
    blocks,
    steps,
    unrecorded,
)


def test_the_steps_of_a_restore() -> None:
    found = steps("guides/restore.rst")
    assert {number: len(commands) for number, commands in found.items()} == {
        1: 4,
        2: 2,
        3: 14,
        4: 7,
        5: 5,
        6: 3,
    }
    assert {command.where for command in found[1] + found[2]} == {"node"}
    assert {command.where for number in (3, 4, 5) for command in found[number]} == {"bootstrap"}
    restore = next(
        command.text for command in found[3] if command.text.startswith("etcdutl snapshot restore")
    )
    assert restore.endswith("--bump-revision 1000000000 --mark-compacted")


def test_every_block_of_commands_is_run_or_tested_or_says_why_not() -> None:
    unmarked = [
        str(block)
        for block in blocks()
        if not (block.mark.situation or block.mark.tests or block.mark.reason)
    ]
    assert unmarked == [], "put a mark of docs/contributing/style.rst above these blocks"


def test_tests_of_blocks_exist_and_name_functions_and_arguments() -> None:
    wrong = []
    for block in blocks():
        paths = [ROOT / path for path in block.mark.tests]
        wrong += [f"{block}: no {path}" for path in paths if not path.is_file()]
        sources = "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
        for name in sorted(block.names if paths else ()):
            # A test calls the function by the name that the runner has.
            if not re.search(rf"\b{name}\b", sources):
                wrong.append(f"{block}: {name} is not in {', '.join(block.mark.tests)}")
    assert wrong == []


def test_situations_of_blocks_are_those_of_the_lab() -> None:
    situations = {block.mark.situation for block in blocks()} - {""}
    assert situations == set(SITUATIONS), "tests/lab makes these situations"


def test_blocks_hold_commands_and_outputs_are_recorded() -> None:
    printed = {str(block): block.printed for block in blocks() if not block.mark.reason}
    assert {block: lines for block, lines in printed.items() if lines} == {}
    assert [str(block) for block in blocks() if not block.commands] == []
    texts = unrecorded()
    assert [place for place, reason in texts.items() if not reason] == []


def test_recorded_outputs_are_those_of_blocks_that_run() -> None:
    shown = {output.name for block in blocks() for output in block.outputs}
    assert shown == {path.name for path in (DOCS / SHOWN).iterdir()}
    silent = [str(block) for block in blocks() if block.outputs and not block.mark.situation]
    assert silent == []
    # Blocks that share an output run the same command in the same situation.
    makers = {
        (output.name, block.mark.situation, block.commands[-1])
        for block in blocks()
        for output in block.outputs
    }
    assert len(makers) == len(shown)


def test_mark_holds_until_next_mark(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        ".. code-block:: console\n\n   # one\n\n.. tested: tests/x.py, tests/y.py\n\n"
        ".. code-block:: console\n\n   # salt-run metalk8s_expand.plan wait_s=1\n\n   # three x=1\n\ntext\n\n"
        "1. item\n\n   .. not tested: it needs a network\n\n   .. code-block:: console\n\n      # four\n"
    )
    one, two, three = blocks(tmp_path)
    assert (one.mark.tests, one.mark.reason, one.lines) == ((), "", ("# one",))
    assert (two.mark.tests, two.names) == (("tests/x.py", "tests/y.py"), {"plan", "wait_s"})
    assert two.lines == ("# salt-run metalk8s_expand.plan wait_s=1", "# three x=1")
    assert (three.mark.tests, three.mark.reason, str(three)) == (
        (),
        "it needs a network",
        "a.rst:19",
    )


def test_mark_of_run_has_situation_and_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        ".. run: on blank hosts\n\n.. code-block:: console\n\n   # one\n\n"
        ".. run: during a run, exit code 9\n\n.. code-block:: console\n\n   # two\n"
    )
    one, two = blocks(tmp_path)
    assert (one.mark.situation, one.mark.code) == ("on blank hosts", 0)
    assert (two.mark.situation, two.mark.code) == ("during a run", 9)
    assert (two.mark.tests, two.mark.reason) == ((), "")


def test_commands_have_their_hosts_and_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        ".. code-block:: console\n\n   # one\n   $ two\n   root@worker-1 $ three \\\n       -x\n"
        "   printed\n   root@host # four\n"
    )
    [block] = blocks(tmp_path)
    assert block.commands == [
        Command("", "one"),
        Command("", "two"),
        Command("worker-1", "three -x"),
        Command("host", "four"),
    ]
    assert block.printed == ["printed"]


def test_output_belongs_to_block_above(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        ".. code-block:: console\n\n   # one\n\ntext\n\n.. literalinclude:: /shown/one.txt\n"
        "   :start-at: two words\n   :end-before: end\n\n.. literalinclude:: ../other.yaml\n\n"
        ".. code-block:: console\n\n   # two\n\n.. literalinclude:: /shown/two.txt\n"
    )
    one, two = blocks(tmp_path)
    assert one.outputs == [Output("one.txt", "two words", "end")]
    assert two.outputs == [Output("two.txt")]


@pytest.mark.parametrize(
    ("output", "part"),
    [
        (Output("x"), "a\nb 1\nc\nb 2"),
        (Output("x", start="b"), "b 1\nc\nb 2"),
        (Output("x", start="b", end="b"), "b 1\nc"),
        (Output("x", end="c"), "a\nb 1"),
        (Output("x", start="d"), ""),
    ],
)
def test_part_of_output_is_that_of_literalinclude(output: Output, part: str) -> None:
    assert output.part("a\nb 1\nc\nb 2\n") == part


def test_text_without_recording_needs_reason_right_above(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        ".. not recorded: it takes hours\n\n.. code-block:: text\n\n   one\n\n"
        ".. code-block:: text\n\n   two\n"
    )
    assert unrecorded(tmp_path) == {"a.rst:3": "it takes hours", "a.rst:7": ""}


def test_readme_shows_lines_of_the_recorded_plan() -> None:
    """The README leaves out the reasons and the differences."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    begin = readme.index("    node      profile ")
    printed = [
        line.strip() for line in readme[begin : readme.index("\n\nThe reasons")].splitlines()
    ]
    plan = (ROOT / "docs/shown/plan.txt").read_text(encoding="utf-8")
    recorded = {line.strip() for line in plan.splitlines()}
    assert [line for line in printed if line != "…" and line not in recorded] == []
