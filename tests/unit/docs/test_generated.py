"""The generated reference has everything of the code, and every name has its place in the book."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.book import pages, source
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.thresholds import RANGES

DOCS = source.ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / f"{name}.rst").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", pages.PAGES)
def test_generated_part_is_on_a_page(name: str) -> None:
    assert pages.PAGES[name]().strip()
    shown = [path for path in DOCS.rglob("*.rst") if f".. generated:: {name}\n" in path.read_text()]
    assert shown


def test_every_pillar_key_has_type_and_meaning() -> None:
    text = pages.pillar_keys()
    for key in ("nodes:NAME:ssh:host_key", "etcd_snapshot:copy_to", "profiles:NAME:roles"):
        assert f".. pillar:: {key}\n" in text
    entries = text.split(".. pillar:: ")[1:]
    assert [entry.partition("\n")[0] for entry in entries if entry.count("\n   ") < 2] == [
        f"preflight:thresholds:{key}:{role}"
        for key in ("cpus", "memory_mb", "disk_mb")
        for role in ("master", "etcd", "infra", "node")
    ]
    assert "*integer, 1 to 100; default 10*" in text
    assert "   *text; required*" in text


def test_every_function_of_the_runner_has_arguments_and_text() -> None:
    text = pages.runner_functions()
    assert ".. py:function:: metalk8s_expand.remove_node(node, force=False" in text
    for function in source.functions(source.SALT / "_runners" / "metalk8s_expand.py"):
        assert function.text
        if function.name != "runner_boundary":
            assert f"metalk8s_expand.{function.name}(" in text


def test_states_of_every_file_are_listed() -> None:
    text = pages.states()
    assert "metalk8s_expand_etcd.member_promoted(name, address" in text
    assert len(re.findall(r"^metalk8s_expand(?:_[a-z]+)?: states\n-+$", text, re.M)) == len(
        source.plugins("states")
    )


def test_every_sls_has_its_served_name() -> None:
    found = {sls.name: sls for sls in source.sls()}
    assert {
        "metalk8s_expand.expand",
        "metalk8s.roles.node",
        "metalk8s.orchestrate.deploy_node",
    } <= (set(found))
    states = found["metalk8s.orchestrate.deploy_node"].states
    assert "Uncordon NODE" in states
    assert not [sls.path for sls in found.values() if "{" in "".join(sls.states)]


def test_preflight_table_has_severity_and_thresholds_of_every_check() -> None:
    text = pages.preflight_checks()
    assert re.findall(r"\* - :check:`([a-z-]+)`", text) == list(findings.NAMES)
    rows = dict(re.findall(r"\* - :check:`([a-z-]+)`\n     - (.*)\n", text))
    assert rows["swap"] == "warning"
    assert rows["disk"] == "error"
    assert rows["fsync"] == "error, warning"
    used = set(re.findall(r"preflight:thresholds:(\w+)", text))
    # No single check reads the time limit of the whole probe.
    assert set(RANGES) - used == {"probe_timeout_s"}


def test_every_error_class_has_exit_code_and_place() -> None:
    text = pages.exit_codes()
    assert "   * - 9\n     - :errorclass:`LockLostError`\n     - no\n" in text
    assert "   * - 4\n     - :errorclass:`UnreachableError`\n     - yes\n" in text
    names = [item.name for item, _ in source.error_classes()]
    places = re.findall(r"^\.\. errorclass:: (\w+)$", page("troubleshooting/errors"), re.M)
    assert sorted(places) == sorted(names)


def test_severity_of_keyword_counts() -> None:
    tree = ast.parse("def a(host):\n    return CheckFailure('', '', '', severity=WARNING)\n")
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert source.severities((function,)) == ["warning"]


def test_event_table_has_payload_of_every_event() -> None:
    text = pages.event_tags()
    assert text.count("\n   * - ``metalk8s_expand/") == 3
    assert "``elapsed_s``" in text


def names(path: Path) -> set[str]:
    return set(re.findall(r":doc:`(?:[^`<]*<)?([^`<>]+)>?`", path.read_text(encoding="utf-8")))


def test_every_link_to_a_page_has_its_page() -> None:
    broken = []
    for path in DOCS.rglob("*.rst"):
        for name in names(path):
            top = DOCS if name.startswith("/") else path.parent
            if not (top / f"{name.lstrip('/')}.rst").is_file():
                broken.append(f"{path.relative_to(DOCS)}: {name}")
    assert broken == []


def test_every_page_is_in_the_table_of_contents_once() -> None:
    listed = re.findall(r"^   ([a-z0-9/_-]+)$", page("index"), re.M)
    found = [str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.rst")]
    assert sorted([*listed, "index"]) == sorted(found)
