"""Preflight thresholds are parsed strictly; parser, schema, example and documentation agree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metalk8s_expand.domain.node.roles import DECLARABLE
from metalk8s_expand.domain.parsing.reader import Problems, Reader
from metalk8s_expand.domain.preflight import findings, thresholds
from metalk8s_expand.domain.preflight.thresholds import RANGES, Thresholds, largest

ROOT = Path(__file__).resolve().parents[5]
PATH = "metalk8s_expand:preflight:thresholds"
EXAMPLE = yaml.safe_load((ROOT / "pillar/metalk8s_expand.sls").read_text(encoding="utf-8"))[
    "metalk8s_expand"
]["preflight"]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "pillar/metalk8s_expand.schema.json").read_text(encoding="utf-8"))
)


def read(value: object) -> tuple[Thresholds, Problems]:
    problems: Problems = []
    return thresholds.read(Reader(value, PATH, problems)), problems


def is_valid(value: object) -> bool:
    return bool(SCHEMA.is_valid({"preflight": {"thresholds": value}}))


GOOD: list[Any] = [
    {},
    {"clock_skew_s": 1, "disk_inodes": 0},
    {"cpus": {"master": 8}},
    {"memory_mb": {"etcd": 64_000, "node": 0}, "disk_mb": {}},
    {"fsync_warning_ms": 50, "fsync_error_ms": 50},
    {"connect_timeout_s": 60, "etcd_window_s": 60, "probe_timeout_s": 120},
    EXAMPLE["thresholds"],
]


@pytest.mark.parametrize("value", GOOD)
def test_schema_accepts_what_parser_accepts(value: Any) -> None:
    found, problems = read(value)
    assert problems == []
    assert is_valid(value)
    for key, number in value.items():
        assert getattr(found, key) == (
            {**getattr(Thresholds(), key), **number} if isinstance(number, dict) else number
        )


BAD: list[tuple[Any, list[str]]] = [
    (None, [PATH]),
    ([], [PATH]),
    ({"clock": 5}, [f"{PATH}:clock"]),
    ({"clock_skew_s": 0}, [f"{PATH}:clock_skew_s"]),
    ({"clock_skew_s": "5"}, [f"{PATH}:clock_skew_s"]),
    ({"clock_skew_s": 2.5}, [f"{PATH}:clock_skew_s"]),
    ({"clock_skew_s": True}, [f"{PATH}:clock_skew_s"]),
    ({"cpus": 4}, [f"{PATH}:cpus"]),
    ({"cpus": {"worker": 4}}, [f"{PATH}:cpus:worker"]),
    ({"cpus": {"master": 0, "bootstrap": 1}}, [f"{PATH}:cpus:master", f"{PATH}:cpus:bootstrap"]),
    ({"memory_mb": {"node": -1}}, [f"{PATH}:memory_mb:node"]),
    ({"disk_mb": None}, [f"{PATH}:disk_mb"]),
    ({"disk_inodes": 10**12}, [f"{PATH}:disk_inodes"]),
    (
        {"fsync_error_ms": 0, "probe_timeout_s": 4, "x": 1},
        [f"{PATH}:fsync_error_ms", f"{PATH}:probe_timeout_s", f"{PATH}:x"],
    ),
]


@pytest.mark.parametrize(("value", "paths"), BAD)
def test_schema_refuses_what_parser_refuses(value: Any, paths: list[str]) -> None:
    _, problems = read(value)
    assert [problem.path for problem in problems] == paths
    assert all(problem.message and problem.remedy for problem in problems)
    assert not is_valid(value)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"fsync_error_ms": 9}, "fsync_error_ms"),
        ({"fsync_warning_ms": 101}, "fsync_error_ms"),
        ({"connect_timeout_s": 20}, "connect_timeout_s"),
        ({"etcd_window_s": 30}, "etcd_window_s"),
        ({"probe_timeout_s": 10}, "etcd_window_s"),
    ],
)
def test_contradicting_thresholds_are_refused(value: Any, key: str) -> None:
    """The schema cannot express these rules, so the parser checks them."""
    _, [problem] = read(value)
    assert problem.path == f"{PATH}:{key}"
    assert re.search(r"write (at least|less than) \d+", problem.remedy)


def test_example_shows_defaults() -> None:
    assert read(EXAMPLE["thresholds"])[0] == Thresholds()
    assert set(EXAMPLE["thresholds"]) == set(RANGES)
    assert all(
        set(value) == set(DECLARABLE)
        for value in EXAMPLE["thresholds"].values()
        if isinstance(value, dict)
    )


def test_schema_has_defaults_and_ranges() -> None:
    plain = Thresholds()
    for key, found in SCHEMA.schema["$defs"]["thresholds"]["properties"].items():
        default = getattr(plain, key)
        numbers = found["properties"].values() if isinstance(default, dict) else [found]
        assert {(number["minimum"], number["maximum"]) for number in numbers} == {RANGES[key]}
        shown = (
            {role: number["default"] for role, number in found["properties"].items()}
            if isinstance(default, dict)
            else found["default"]
        )
        assert shown == default


def test_schema_has_names_of_checks() -> None:
    assert SCHEMA.schema["$defs"]["skip"]["items"]["enum"] == list(findings.NAMES)
    node = {"nodes": {"w-1": {"address": "10.0.0.1", "preflight": {"skip": ["disk"]}}}}
    assert SCHEMA.is_valid(node)
    assert not SCHEMA.is_valid({"preflight": {"skip": ["disc"]}})
    node["nodes"]["w-1"]["preflight"] = {"thresholds": {}}  # type: ignore[dict-item]
    assert not SCHEMA.is_valid(node)


@pytest.mark.parametrize(
    ("roles", "wanted"),
    [
        (("master", "etcd"), 1700),
        (("etcd",), 900),
        (("bootstrap",), 0),
        ((), 0),
        (("node", "master"), 1700),
    ],
)
def test_largest_value_among_roles_applies(roles: tuple[str, ...], wanted: int) -> None:
    assert largest(Thresholds().memory_mb, roles) == wanted
