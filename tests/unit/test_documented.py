"""The commands that tests take from the documentation are all found there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.documented import ROOT, blocks, steps


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


def test_every_block_of_commands_is_tested_or_says_why_not() -> None:
    unmarked = [str(block) for block in blocks() if not block.tests and not block.reason]
    assert unmarked == [], "put `.. tested: PATH` or `.. not tested: REASON` above these blocks"


def test_tests_of_blocks_exist_and_name_functions_and_arguments() -> None:
    wrong = []
    for block in blocks():
        paths = [ROOT / path for path in block.tests]
        wrong += [f"{block}: no {path}" for path in paths if not path.is_file()]
        sources = "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
        for name in sorted(block.names if block.tests else ()):
            # A test calls the function by the name that the runner has.
            if not re.search(rf"\b{name}\b", sources):
                wrong.append(f"{block}: {name} is not in {', '.join(block.tests)}")
    assert wrong == []


def test_mark_holds_until_next_mark(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        ".. code-block:: console\n\n   # one\n\n.. tested: tests/x.py, tests/y.py\n\n"
        ".. code-block:: console\n\n   # salt-run metalk8s_expand.plan wait_s=1\n\n   # three x=1\n\ntext\n\n"
        "1. item\n\n   .. not tested: it needs a network\n\n   .. code-block:: console\n\n      # four\n"
    )
    one, two, three = blocks(tmp_path)
    assert (one.tests, one.reason, one.lines) == ((), "", ("# one",))
    assert (two.tests, two.names) == (("tests/x.py", "tests/y.py"), {"plan", "wait_s"})
    assert two.lines == ("# salt-run metalk8s_expand.plan wait_s=1", "# three x=1")
    assert (three.tests, three.reason, str(three)) == ((), "it needs a network", "a.rst:19")
