"""The commands that tests take from the documentation are all found there."""

from __future__ import annotations

from tests.documented import steps


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
