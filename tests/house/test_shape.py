"""The shape of the code: limits that keep it readable, measured from its syntax trees."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "salt" / "_utils" / "metalk8s_expand"
COMMANDS = LIBRARY / "commands"
FILES_IN_A_FOLDER = 15
LONG_SIGNATURES, PARAMETERS = 8, 6
COMPREHENSIONS_PER_1000_LINES = 25
GENERIC_NAMES = 40
WORKFLOW_LINES = 60
# The scheduler advances its nodes by turns, and scripts for bare hosts import nothing.
MAY_SLEEP = ("clients/host/clock.py", "expansion/scheduler.py", "remote/")
CHANGES = {
    "add_learner", "add_member", "promote", "remove_member", "move_leader", "evict", "cordon",
    "create_node", "delete_node", "patch_node", "accept", "delete", "write_text", "unlink", "start",
}  # fmt: skip


def trees(*tops: str) -> Iterator[tuple[Path, ast.Module]]:
    for top in tops:
        for path in sorted((ROOT / top).rglob("*.py")):
            yield path, parsed(path)


# The tests change no tree, and parsing takes more time than reading the tree.
@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def library() -> Iterator[tuple[Path, ast.Module]]:
    return trees("salt/_utils/metalk8s_expand")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_library_folders_are_small() -> None:
    folders = Counter(path.parent for path in LIBRARY.rglob("*.py"))
    assert {str(folder): n for folder, n in folders.items() if n > FILES_IN_A_FOLDER} == {}


def test_packages_say_what_lives_there() -> None:
    silent = [
        str(path)
        for path, tree in library()
        if path.name == "__init__.py" and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_library_has_few_long_signatures() -> None:
    long = []
    for path, tree in library():
        for function in functions(tree):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            names = [item.arg for item in arguments if item.arg not in ("self", "cls")]
            if len(names) >= PARAMETERS:
                long.append(f"{path.relative_to(LIBRARY)}:{function.name} has {len(names)}")
    assert len(long) <= LONG_SIGNATURES, long


def test_conditional_expressions_are_not_nested() -> None:
    nested = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in trees("salt", "lab", "chaos", "bench", "bundle", "release", "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.IfExp)
        and any(isinstance(inner, ast.IfExp) for inner in ast.walk(node) if inner is not node)
    ]
    assert nested == []


def test_library_has_few_comprehensions() -> None:
    kinds = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    lines = count = 0
    for path, tree in library():
        lines += len(path.read_text(encoding="utf-8").splitlines())
        count += sum(isinstance(node, kinds) for node in ast.walk(tree))
    assert count * 1000 / lines < COMPREHENSIONS_PER_1000_LINES


def test_library_names_things_by_what_they_are() -> None:
    count = sum(
        isinstance(node, ast.Name) and node.id == "found"
        for _, tree in library()
        for node in ast.walk(tree)
    )
    assert count < GENERIC_NAMES


def test_library_waits_in_one_place() -> None:
    sleepers = [
        f"{path.relative_to(LIBRARY)}:{node.lineno}"
        for path, tree in library()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and not str(path.relative_to(LIBRARY)).startswith(MAY_SLEEP)
    ]
    assert sleepers == []


def test_problem_functions_change_nothing() -> None:
    changing = [
        f"{path.relative_to(LIBRARY)}:{call.lineno} {call.func.attr}"
        for path, tree in library()
        for function in functions(tree)
        if function.name.endswith("_problems")
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in CHANGES
    ]
    assert changing == []


def test_private_names_stay_in_their_file() -> None:
    borrowed = []
    for path, tree in trees("salt", "lab", "chaos", "bench", "bundle", "release"):
        modules = {
            name.asname or name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for name in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                borrowed += [
                    f"{path.relative_to(ROOT)}:{node.lineno} {name.name}"
                    for name in node.names
                    if name.name.startswith("_")
                ]
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in modules
                and node.attr.startswith("_")
                and not node.attr.startswith("__")
            ):
                borrowed.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}")
    assert borrowed == []


def test_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for _, tree in library()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert {name: n for name, n in names.items() if n > 1} == {}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("expand.py", "expand"),
        ("remove_node.py", "remove_node"),
    ],
)
def test_workflow_is_one_visible_list(file: str, name: str) -> None:
    tree = ast.parse((COMMANDS / file).read_text(encoding="utf-8"))
    [function] = [item for item in functions(tree) if item.name == name]
    assert function.end_lineno is not None
    assert function.end_lineno - function.lineno < WORKFLOW_LINES


def test_commands_inherit_nothing() -> None:
    bases = [
        f"{path.name}:{node.name}"
        for path in COMMANDS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.bases
    ]
    assert bases == []


def test_test_modules_import_no_other() -> None:
    imports = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for path, tree in trees("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("tests.")
        and (
            (node.module or "").rpartition(".")[2].startswith("test_")
            or any(name.name.startswith("test_") for name in node.names)
        )
    ]
    assert imports == []
