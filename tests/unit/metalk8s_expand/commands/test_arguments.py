"""Test the arguments from a command line or a pillar: each is parsed, or the error names it."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.arguments import ExpandRequest
from metalk8s_expand.domain.declaration import settings
from metalk8s_expand.errors import SettingsError

DECLARED = settings.parse(
    {
        "defaults": {"version": "2.0"},
        "nodes": {
            "w-1": {"profile": "worker", "address": "10.0.0.1"},
            "w-2": {"profile": "worker", "address": "10.0.0.2"},
            "i-1": {"profile": "infra", "address": "10.0.0.3"},
        },
    }
)
W_9 = {"profile": "worker", "address": "10.0.0.9"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ExpandRequest.parse(), "salt-run metalk8s_expand.expand"),
        (ExpandRequest.parse("w-1"), "salt-run metalk8s_expand.add_node w-1"),
        (ExpandRequest.parse("w-1,w-2"), "salt-run metalk8s_expand.expand nodes=w-1,w-2"),
        (
            ExpandRequest.parse("w-*", "worker"),
            "salt-run metalk8s_expand.expand 'nodes=w-*' profiles=worker",
        ),
        (
            ExpandRequest.parse(None, None, None, 3),
            "salt-run metalk8s_expand.expand max_parallel=3",
        ),
        (
            ExpandRequest.parse("w-1", max_parallel=3),
            "salt-run metalk8s_expand.expand nodes=w-1 max_parallel=3",
        ),
        (
            ExpandRequest.parse("w-9", overrides={"profile": "worker", "roles": ["etcd"]}),
            """salt-run metalk8s_expand.add_node w-9 profile=worker 'roles=["etcd"]'""",
        ),
    ],
)
def test_command_resumes_the_request(asked: ExpandRequest, words: str) -> None:
    assert asked.command() == words


def test_request_is_applied_to_the_declaration() -> None:
    declared, names = ExpandRequest.parse("w-*,i-1", "worker", max_parallel=1).resolve(DECLARED)
    assert (names, declared.max_parallel, DECLARED.max_parallel) == (("w-1", "w-2"), 1, 10)
    assert ExpandRequest.parse().resolve(DECLARED) == (DECLARED, None)
    declared, names = ExpandRequest.parse("w-9", overrides=W_9).resolve(DECLARED)
    assert (names, declared.nodes["w-9"].address) == (("w-9",), "10.0.0.9")


@pytest.mark.parametrize("wrong", [0, -1, 101, True, "3", 2.5, [], {}, float("nan")])
def test_max_parallel(wrong: Any) -> None:
    with pytest.raises(
        SettingsError,
        match=r"max_parallel: is (out of range|not a whole number) .*write a number from 1 to 100",
    ):
        ExpandRequest.parse(max_parallel=wrong).resolve(DECLARED)


@pytest.mark.parametrize("number", [1, 100])
def test_max_parallel_for_one_run(number: int) -> None:
    assert ExpandRequest.parse(max_parallel=number).resolve(DECLARED)[0].max_parallel == number


@pytest.mark.parametrize(
    ("nodes", "profiles", "overrides"),
    [
        (None, None, W_9),
        ("w-*", None, {"profile": "worker"}),
        ("w-8,w-9", None, W_9),
        ("w-9", "worker", W_9),
    ],
)
def test_the_profile_of_one_node_is_no_choice_of_nodes(
    nodes: Any, profiles: Any, overrides: Any
) -> None:
    with pytest.raises(SettingsError, match="these arguments describe one node: profile") as error:
        ExpandRequest.parse(nodes, profiles, overrides).resolve(DECLARED)
    assert (
        error.value.hint
        == "name one node, or leave them out; select declared nodes with profiles=worker"
    )


def test_profiles_is_no_argument_of_a_single_node() -> None:
    with pytest.raises(SettingsError, match=r"profiles: is an unknown key .*did you mean profile"):
        arguments.one("w-9", {"profiles": "worker"}).resolve(DECLARED)


class TestAgain:
    """A request is completed from a saved plan, as JSON returns it."""

    def test_request_without_names_takes_those_of_the_saved_plan(self) -> None:
        before = {"asked": ["w-1", "w-2"], "max_parallel": 2, "declaration": {}}
        declared, names = ExpandRequest.parse().with_saved_plan(before).resolve(DECLARED)
        assert (names, declared.max_parallel) == (("w-1", "w-2"), 2)

    def test_saved_plan_of_all_nodes_selects_all_nodes(self) -> None:
        assert (
            ExpandRequest.parse().with_saved_plan(
                {"asked": None, "max_parallel": None, "declaration": {}}
            )
            == ExpandRequest.parse()
        )

    def test_undeclared_node_of_the_saved_plan_is_selected(self) -> None:
        again = ExpandRequest.parse().with_saved_plan(
            {"asked": ["w-9"], "max_parallel": None, "declaration": W_9}
        )
        assert again.resolve(DECLARED)[1] == ("w-9",)

    def test_new_arguments_override_the_saved_plan(self) -> None:
        before = {"asked": ["w-1"], "max_parallel": 2, "declaration": {}}
        declared, names = (
            ExpandRequest.parse("i-1", max_parallel=5).with_saved_plan(before).resolve(DECLARED)
        )
        assert (names, declared.max_parallel) == (("i-1",), 5)
        assert (
            ExpandRequest.parse("i-1").with_saved_plan(before).resolve(DECLARED)[0].max_parallel
            == 2
        )

    def test_plan_saved_by_an_earlier_version_is_read(self) -> None:
        assert ExpandRequest.parse().with_saved_plan({"asked": ["w-1"]}).resolve(DECLARED)[1] == (
            "w-1",
        )

    def test_none(self) -> None:
        assert ExpandRequest.parse("w-1").with_saved_plan(None) == ExpandRequest.parse("w-1")

    def test_saved_data_holds_names_and_max_parallel(self) -> None:
        kept = ExpandRequest.parse("w-*", max_parallel=3).to_saved(("w-1", "w-2"))
        assert kept == {
            "asked": ("w-1", "w-2"),
            "max_parallel": 3,
            "declaration": {},
            "redeploy": False,
        }


@pytest.mark.parametrize("node", ["w-*", "*", None, True, ["w-1"], 1.5])
def test_single_node_argument_must_be_a_name(node: Any) -> None:
    with pytest.raises(SettingsError, match="node"):
        arguments.one(node)


def test_flags() -> None:
    arguments.flags(probe=True, skip_failed=False)
    with pytest.raises(SettingsError) as error:
        arguments.flags(probe="no", skip_failed=0, dry_run=True, preflight=None)
    assert error.value.problems == (
        "probe is 'no': write True or False", "skip_failed is 0: write True or False", "preflight is None: write True or False",
    )  # fmt: skip
    assert "quote a glob" in str(error.value.hint)


@pytest.mark.parametrize("wrong", ["soon", -1, None, True, float("nan"), []])
def test_seconds(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="wait_s is "):
        arguments.seconds("wait_s", wrong)
    assert arguments.seconds("wait_s", 0.5) == 0.5


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(None, None), ("0123abcd", "0123abcd"), (12345678, "12345678"), ("a" * 64, "a" * 64)],
)
def test_digest(given: Any, wanted: str | None) -> None:
    assert arguments.digest(given) == wanted
