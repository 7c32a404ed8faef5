"""Names, globs and profiles select declared nodes; a selection of no node is refused.

Such a selection never means all nodes or no work.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from metalk8s_expand.domain.declaration import selection, settings
from metalk8s_expand.domain.declaration.selection import SHOWN, Selection
from metalk8s_expand.errors import SettingsError

NODES = {
    "cp-1": "control-plane", "worker-1": "worker", "worker-2": "worker", "gpu-1": "gpu", "infra-1": "infra", "7": "worker",
}  # fmt: skip
DECLARED = settings.parse(
    {
        "defaults": {"version": "2.0"},
        "profiles": {"gpu": {"roles": ["node"]}, "idle": {"roles": ["node"]}},
        "nodes": {
            **{
                name: {"profile": profile, "address": f"10.0.0.{n}"}
                for n, (name, profile) in enumerate(NODES.items(), 1)
            },
            "own-1": {"roles": ["node"], "address": "10.0.0.9"},
        },
    }
)


def chosen(nodes: Any = None, profiles: Any = None) -> Any:
    return selection.parse(nodes, profiles).resolved(DECLARED)


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        (None, None),
        ("worker-1", ("worker-1",)),
        ("worker-2, worker-1,worker-2", ("worker-1", "worker-2")),
        (["worker-2", "cp-1"], ("cp-1", "worker-2")),
        (("worker-2",), ("worker-2",)),
        ({"worker-2"}, ("worker-2",)),
        (7, ("7",)),
        ([7, "cp-1"], ("cp-1", "7")),
        ("worker-*", ("worker-1", "worker-2")),
        ("worker-?,infra-1", ("worker-1", "worker-2", "infra-1")),
        (["[cg]*-1"], ("cp-1", "gpu-1")),
        ("*", (*NODES, "own-1")),
        ("worker-1,worker-*", ("worker-1", "worker-2")),
    ],
)
def test_names_and_globs_select_nodes_in_declared_order(nodes: Any, wanted: Any) -> None:
    assert chosen(nodes) == wanted


@pytest.mark.parametrize(
    ("nodes", "profiles", "wanted"),
    [
        (None, "worker", ("worker-1", "worker-2", "7")),
        (None, "worker,gpu", ("worker-1", "worker-2", "gpu-1", "7")),
        (None, ["infra"], ("infra-1",)),
        ("*-1", "worker,infra", ("worker-1", "infra-1")),
        ("worker-2,cp-1", "worker", ("worker-2",)),
    ],
)
def test_profiles_narrow_the_selection(nodes: Any, profiles: Any, wanted: Any) -> None:
    assert chosen(nodes, profiles) == wanted


def refused(nodes: Any = None, profiles: Any = None) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        chosen(nodes, profiles)
    json.dumps(caught.value.as_dict())
    assert caught.value.retcode == 2
    return caught.value


@pytest.mark.parametrize(
    ("nodes", "profiles", "what", "problems"),
    [
        ("worker-9", None, "does not declare this node", ["nodes: is not declared (found 'worker-9'); did you mean worker-"]),
        ("a,b", None, "does not declare these nodes", ["is not declared (found 'a')", "is not declared (found 'b')"]),
        ("worker-1,", None, "does not declare this node", ["(found '')"]),
        ("", None, "does not declare this node", ["(found '')"]),
        ("WORKER-*", None, "match no declared node", ["nodes: matches no declared node (found 'WORKER-*'); declared: cp-1, worker-1,"]),
        ("worker-*,db-*,x", None, "match no declared node", ["matches no declared node (found 'db-*')", "is not declared (found 'x')"]),
        (None, "wroker", "select no node", ["profiles: is an unknown profile (found 'wroker'); did you mean worker? known:"]),
        (None, "worker,idle", "select no node", ["is the profile of no declared node (found 'idle'); used: control-plane, worker, gpu, infra"]),
        (None, "worker*", "select no node", ["is an unknown profile (found 'worker*')"]),
        ("cp-1,own-1", "worker,gpu", "select no node", ["(found 'worker,gpu'); the profile of cp-1 is control-plane; the profile of own-1 is not set"]),
    ],
)  # fmt: skip
def test_selection_of_no_node_is_refused(
    nodes: Any, profiles: Any, what: str, problems: list[str]
) -> None:
    error = refused(nodes, profiles)
    assert what in error.message
    assert len(error.problems) == len(problems)
    for found, wanted in zip(error.problems, problems, strict=True):
        assert wanted in str(found)


def test_file_names_instead_of_glob_hint_at_quotes() -> None:
    assert "put the glob into quotes" in str(refused("worker-1.yaml").hint)


@pytest.mark.parametrize(
    "wrong",
    [True, False, 1.5, {"worker-1": None}, b"worker-1", [], (), [None], [["worker-1"]], [True]],
)
@pytest.mark.parametrize("key", ["nodes", "profiles"])
def test_arguments_of_wrong_type_are_named(key: str, wrong: Any) -> None:
    problems = refused(**{key: wrong}).problems
    assert {problem.path for problem in problems} == {key}  # type: ignore[union-attr]
    assert {"a glob in quotes" in str(problem) for problem in problems} == {key == "nodes"}


@pytest.mark.parametrize(
    ("given", "text", "words"),
    [
        (Selection(), "all declared nodes", []),
        (Selection(("a", "b-*")), "a, b-*", ["nodes=a,b-*"]),
        (Selection(("a",), ("worker",)), "a, profile worker", ["nodes=a", "profiles=worker"]),
        (
            Selection(None, ("worker", "gpu")),
            "profile worker, profile gpu",
            ["profiles=worker,gpu"],
        ),
    ],
)
def test_selection_is_shown_as_text_and_words(
    given: Selection, text: str, words: list[str]
) -> None:
    assert (str(given), given.words()) == (text, words)


def test_selection_of_many_nodes_is_shortened() -> None:
    assert str(Selection(tuple(f"n-{number}" for number in range(1000)))).endswith(
        f"n-{SHOWN - 1}, {1000 - SHOWN} more"
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Selection(("a",)), "a"),
        (Selection(("a*",)), None),
        (Selection(("a", "b")), None),
        (Selection(("a",), ("worker",)), None),
        (Selection(), None),
    ],
)
def test_single_returns_only_one_literal_name(given: Selection, wanted: str | None) -> None:
    assert given.single == wanted
