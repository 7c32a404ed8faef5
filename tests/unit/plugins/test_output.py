"""The outputter colors the places of a text that have a style, and no pipe gets colors."""

from __future__ import annotations

from typing import Any

import pytest

from tests import extension

DATA = {"text": "run 1 FAILED\nw-1 ok", "styles": [[0, 6, 12, "bad"], [1, 4, 6, "good"]]}
COLORED = "run 1 \x1b[1;31mFAILED\x1b[0m\nw-1 \x1b[32mok\x1b[0m"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    module = extension.load("output", "metalk8s_expand")
    module.__opts__ = {"color": True}
    return module


def test_styles_are_colors_on_terminal(plugin: Any) -> None:
    assert plugin.output(DATA) == COLORED
    assert plugin.output({"error": "no", "styles": [(0, 0, 2, "warn")]}) == "\x1b[33mno\x1b[0m"


def test_unknown_style_has_no_color(plugin: Any) -> None:
    assert plugin.output({"text": "a", "styles": [[0, 0, 1, "purple"]]}) == "a"


def test_several_styles_of_a_line_keep_their_places(plugin: Any) -> None:
    data = {"text": "ab", "styles": [[0, 0, 1, "good"], [0, 1, 2, "bad"]]}
    assert plugin.output(data) == "\x1b[32ma\x1b[0m\x1b[1;31mb\x1b[0m"


@pytest.mark.parametrize(
    ("opts", "environment", "colored"),
    [
        ({"color": True}, {}, True),
        ({"color": False}, {}, False),
        ({}, {}, False),
        ({"color": True}, {"NO_COLOR": "1"}, False),
        ({"color": True}, {"NO_COLOR": ""}, True),
        ({"color": True}, {"TERM": "dumb"}, False),
        ({"force_color": True}, {"NO_COLOR": "1"}, True),
    ],
)
def test_colors_follow_options_and_environment(
    plugin: Any,
    monkeypatch: pytest.MonkeyPatch,
    opts: dict[str, Any],
    environment: dict[str, str],
    colored: bool,
) -> None:
    plugin.__opts__ = opts
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert plugin.output(DATA) == (COLORED if colored else DATA["text"])


@pytest.mark.parametrize("data", [{"healthy": True}, {}, {"error": {"message": "m"}}, "x", None])
def test_result_without_text_is_left_to_salt(plugin: Any, data: Any) -> None:
    with pytest.raises((KeyError, AttributeError)):
        plugin.output(data)
