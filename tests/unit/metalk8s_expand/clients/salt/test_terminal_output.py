"""A result names the outputter only if Salt finds it; else Salt's own prints the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalk8s_expand.clients.salt import terminal_output
from metalk8s_expand.domain.reports.terminal.document import BAD, Block, Segment, paragraph
from tests import extension

DOCUMENT = [Block(paragraph("run 1 ", Segment("FAILED", BAD)))]


def options(base: Path) -> dict[str, Any]:
    import salt.config

    opts: dict[str, Any] = salt.config.master_config(None)
    opts["extension_modules"] = str(base / "ext")
    return opts


def test_result_names_outputter_that_salt_finds(tmp_path: Path) -> None:
    extension.lay_out(tmp_path / "ext", "output", "utils")
    assert terminal_output.printed(options(tmp_path), "text", DOCUMENT) == {
        "text": "run 1 FAILED", "styles": [(0, 6, 12, BAD)], "outputter": "metalk8s_expand",
    }  # fmt: skip
    assert terminal_output.printed(options(tmp_path), "text", "a: b") == {
        "text": "a: b", "outputter": "metalk8s_expand",
    }  # fmt: skip


@pytest.mark.skipif(extension.INSTALLED, reason="the outputter is installed")
def test_text_comes_without_outputter(tmp_path: Path) -> None:
    assert terminal_output.printed(options(tmp_path), "text", DOCUMENT) == {"text": "run 1 FAILED"}
    # Salt indents it by four columns.
    wide = [Block(paragraph("word " * 40))]
    text = terminal_output.printed(options(tmp_path), "error", wide)["error"]
    assert max(map(len, text.splitlines())) <= 76


def test_broken_options_of_salt_are_no_error() -> None:
    assert terminal_output.printed({}, "text", DOCUMENT)["text"] == "run 1 FAILED"


@pytest.mark.parametrize(
    ("output", "chosen"),
    [(None, True), ("", True), ("metalk8s_expand", True), ("json", False), ("nested", False)],
)
def test_operator_may_choose_another_outputter(output: str | None, chosen: bool) -> None:
    assert terminal_output.chooses_itself({"output": output}) is chosen
