"""Read Salt plugins, SLS files and preflight checks without importing Salt.

Salt's loader injects names into the plugins, so they cannot be imported; their syntax tree holds
all that a reader needs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SALT = ROOT / "salt"
LIBRARY = SALT / "_utils" / "metalk8s_expand"

_COMMENT = re.compile(r"\{#-?(.*?)-?#\}", re.DOTALL)
_STATE_ID = re.compile(r"^([A-Z{][^#\n]*):$", re.MULTILINE)
_JINJA = re.compile(r"\{\{-? *([a-z_]+)[^}]*\}\}")


@dataclass(frozen=True)
class Function:
    """A public function: its name, its arguments as source text, and its docstring."""

    name: str
    arguments: str
    text: str


@dataclass(frozen=True)
class Sls:
    """An SLS file: its name, its path in the repository, its comment and the IDs of its states."""

    name: str
    path: str
    text: str
    states: tuple[str, ...]


def docstring(path: Path) -> str:
    """Return the docstring of a Python file; empty if it has none."""
    return ast.get_docstring(_tree(path)) or ""


def functions(path: Path) -> list[Function]:
    """Return the public functions of a Python file, in their order."""
    found = []
    for item in _tree(path).body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            text = ast.get_docstring(item) or ""
            found.append(Function(item.name, ast.unparse(item.args), text))
    return found


def plugins(kind: str) -> list[Path]:
    """Return the plugin files of a kind, such as ``states``, sorted by name."""
    return sorted(path for path in (SALT / f"_{kind}").glob("*.py") if path.stem != "__init__")


def sls() -> list[Sls]:
    """Return every SLS file, with the name that Salt serves it by."""
    found = []
    for folder in ("metalk8s_expand", "orchestrate", "roles", "reactor"):
        for path in sorted((SALT / folder).rglob("*.sls")):
            found.append(_sls(path))
    return found


def error_classes() -> list[tuple[ast.ClassDef, str]]:
    """Return the public error classes of the library, bases first, each with its base's name."""
    known = {"ExpandError": "Exception"}
    found = []
    paths = [LIBRARY / "errors.py", *sorted(LIBRARY.rglob("*.py"))]
    for path in dict.fromkeys(paths):
        for item in ast.walk(_tree(path)):
            if not isinstance(item, ast.ClassDef) or item.name.startswith("_"):
                continue
            base = ast.unparse(item.bases[0]) if item.bases else ""
            if item.name == "ExpandError" or base in known:
                known[item.name] = base
                found.append((item, base))
    return found


def check_functions() -> dict[str, tuple[ast.FunctionDef, ...]]:
    """Return each preflight check with the functions of its file that it calls, by check."""
    found: dict[str, tuple[ast.FunctionDef, ...]] = {}
    for path in sorted((LIBRARY / "domain" / "preflight" / "checks").glob("*.py")):
        local = {item.name: item for item in _tree(path).body if isinstance(item, ast.FunctionDef)}
        for name, item in local.items():
            if any(ast.unparse(mark) == "check" for mark in item.decorator_list):
                found[name.replace("_", "-")] = tuple(_reached(item, local))
    return found


def severities(check: tuple[ast.FunctionDef, ...]) -> list[str]:
    """Return the severities with which a check can fail: error, warning or both."""
    found: set[str] = set()
    for call in _calls(check):
        if ast.unparse(call.func) != "CheckFailure":
            continue
        severity = ast.unparse(call.args[3]) if len(call.args) > 3 else "ERROR"
        for keyword in call.keywords:
            if keyword.arg == "severity":
                severity = ast.unparse(keyword.value)
        names = re.findall(r"ERROR|WARNING", severity)
        # A variable holds either of them.
        found.update(names or ("ERROR", "WARNING"))
    return [name.lower() for name in ("ERROR", "WARNING") if name in found]


def attributes(check: tuple[ast.FunctionDef, ...]) -> set[str]:
    """Return the names of all attributes that a check reads."""
    return {
        item.attr
        for function in check
        for item in ast.walk(function)
        if isinstance(item, ast.Attribute)
    }


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _calls(functions: tuple[ast.FunctionDef, ...]) -> Iterator[ast.Call]:
    for function in functions:
        for item in ast.walk(function):
            if isinstance(item, ast.Call):
                yield item


def _reached(start: ast.FunctionDef, local: dict[str, ast.FunctionDef]) -> list[ast.FunctionDef]:
    """Return the function and all functions of its file that it calls, directly or not."""
    reached, todo = [start], [start]
    while todo:
        for call in _calls((todo.pop(),)):
            function = local.get(ast.unparse(call.func))
            if function is not None and function not in reached:
                reached.append(function)
                todo.append(function)
    return reached


def _sls(path: Path) -> Sls:
    parts = path.relative_to(SALT).with_suffix("").parts
    # The role and orchestration trees are served below the name of MetalK8s's own tree.
    served = parts if parts[0] == "metalk8s_expand" else ("metalk8s", *parts)
    name = ".".join(served).removesuffix(".init")
    source = path.read_text(encoding="utf-8")
    comment = _COMMENT.match(source)
    if source.startswith("#!py"):
        text = ast.get_docstring(ast.parse(source)) or ""
    else:
        text = " ".join(comment[1].split()) if comment else ""
    states = [_JINJA.sub(_capitals, line) for line in _STATE_ID.findall(source)]
    return Sls(name, str(path.relative_to(ROOT)), text, tuple(states))


def _capitals(variable: re.Match[str]) -> str:
    return variable[1].upper()
