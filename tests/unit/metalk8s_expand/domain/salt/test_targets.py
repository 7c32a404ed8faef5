"""A target matches whole names, never a part of a name."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.domain.salt import targets

KNOWN = {"w-1": ("node",), "w-10": ("node",), "cp-1": ("master", "etcd")}


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "exact"),
    [
        ("w-1", "glob", ("w-1",)),
        ("w-*", "glob", ()),
        ("w-?", "glob", ()),
        ("w-[1]", "glob", ()),
        ("a, b,,a", "list", ("a", "b")),
        ("w-1", "pcre", ()),
    ],
)
def test_exact_names_of_target(tgt: Any, tgt_type: str, exact: tuple[str, ...]) -> None:
    assert targets.exact_names(tgt, tgt_type) == exact


@pytest.mark.parametrize(
    ("tgt", "tgt_type", "wanted"),
    [
        ("w-1", "list", ["w-1"]),
        ("", "list", []),
        ("absent", "glob", ["absent"]),
        ("w-*", "glob", ["w-1", "w-10"]),
        ("etcd", "nodegroup", ["cp-1"]),
        ("bootstrap", "nodegroup", []),
    ],
)
def test_matching_returns_selected_names(tgt: Any, tgt_type: str, wanted: list[str]) -> None:
    assert targets.matching(tgt, tgt_type, KNOWN, {}) == wanted


def test_configured_nodegroup_takes_precedence_over_role() -> None:
    assert targets.matching("etcd", "nodegroup", KNOWN, {"etcd": ["w-1"]}) == ["w-1"]
