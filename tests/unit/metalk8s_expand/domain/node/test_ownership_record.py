"""The ownership record before and after a registration, and its serialized form."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.node import manifest, ownership_record
from metalk8s_expand.domain.node.manifest import NOTHING, Owned
from metalk8s_expand.domain.node.roles import NODE, label_key
from metalk8s_expand.domain.node.spec import Node, Ssh, Taint
from metalk8s_expand.errors import SettingsError

GPU = Taint("example.com/gpu", "NoExecute", "a100")
ROLE = Taint(label_key(NODE))
DECLARED = Node("w-1", "1", (NODE,), (ROLE, GPU), {"a": "1", "b": "2"}, Ssh("10.0.0.1"))


def observed(
    labels: dict[str, str] | None = None, taints: Any = (), uid: str = "u-1"
) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "labels": labels}, "spec": {"taints": list(taints)}}


def owned(labels: str = "", taints: tuple[Taint, ...] = (), uid: str = "u-1") -> Owned:
    return Owned(frozenset(labels), frozenset((taint.key, taint.effect) for taint in taints), uid)


@pytest.mark.parametrize(
    ("found", "recorded", "before", "after"),
    [
        pytest.param({}, NOTHING, owned("ab", (GPU,), ""), owned("ab", (GPU,), ""), id="new"),
        pytest.param(observed(), NOTHING, owned("ab", (GPU,)), owned("ab", (GPU,)), id="bare"),
        pytest.param(observed({"a": "1", "b": "2"}, [GPU.as_dict()]), NOTHING, NOTHING, NOTHING, id="all there before us"),
        pytest.param(observed({"a": "1", "b": "0"}), NOTHING, owned("b", (GPU,)), owned("b", (GPU,)), id="another value"),
        pytest.param(
            observed({"a": "1", "b": "2"}, [GPU.as_dict()]), owned("ab"), owned("ab"), owned("ab"), id="nothing to do"
        ),
        pytest.param(
            observed({"a": "1", "b": "2", "c": "3"}, [GPU.as_dict()]), owned("ac"), owned("ac"), owned("a"), id="one is dropped"
        ),
        pytest.param(
            observed({"a": "1", "b": "2"}, [GPU.as_dict()]), owned("a", (GPU, Taint("x")), "u-0"),
            owned("", (GPU,)), owned("", (GPU,)), id="came back with the taints of its kubelet"
        ),
        pytest.param(
            observed({"a": "1", "b": "2"}, [GPU.as_dict()]), owned("a", (GPU,), ""), NOTHING, NOTHING,
            id="created by somebody else while we were cut off",
        ),
    ],
)  # fmt: skip
def test_record_before_and_after_registration(
    found: dict[str, Any], recorded: Owned, before: Owned, after: Owned
) -> None:
    assert ownership_record.before(DECLARED, found, recorded) == before
    assert ownership_record.after(DECLARED, found, recorded) == after


def test_record_of_created_node_has_its_uid() -> None:
    created = manifest.registration(DECLARED)
    created["metadata"]["uid"] = "u-9"
    assert ownership_record.bound(ownership_record.after(DECLARED, {}, NOTHING), created) == owned(
        "ab", (GPU,), "u-9"
    )
    assert ownership_record.bound(NOTHING, created) == NOTHING


@pytest.mark.parametrize(
    "value", [owned("ab", (GPU,)), owned("b"), owned("", (GPU, Taint("x/y"))), NOTHING]
)
def test_serialized_record_is_parsed_unchanged(value: Owned) -> None:
    assert ownership_record.parse("w-1", ownership_record.serialize(value)) == value


def test_serialized_line_is_short_and_sorted() -> None:
    assert (
        ownership_record.serialize(owned("ba", (GPU,)))
        == '{"labels":["a","b"],"taints":["example.com/gpu:NoExecute"],"uid":"u-1"}'
    )
    assert ownership_record.serialize(NOTHING) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "1",
        '{"labels":1}',
        '{"labels":[1]}',
        '{"taints":["x"]}',
        '{"taints":[null]}',
        '{"labels":["a"],"uid":7}',
    ],
)
def test_damaged_line_is_refused(line: str) -> None:
    with pytest.raises(SettingsError) as error:
        ownership_record.parse("w-1", line)
    assert error.value.node == "w-1"
    assert error.value.hint


def test_record_larger_than_configmap_limit_is_refused() -> None:
    ownership_record.check_size({"w-1": "x" * (ownership_record.MAX_BYTES - 3)})
    with pytest.raises(SettingsError, match=f"{ownership_record.MAX_BYTES + 1} bytes for 1 Nodes"):
        ownership_record.check_size({"w-1": "x" * (ownership_record.MAX_BYTES - 2)})
