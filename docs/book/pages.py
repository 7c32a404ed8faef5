"""Make reStructuredText of the code: one function for each generated part of the reference.

Each function takes no argument and returns the text of its part.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from docs.book import source
from docs.book.source import LIBRARY, ROOT, SALT, Function
from metalk8s_expand.domain.node.roles import PROFILES, label_key
from metalk8s_expand.domain.preflight import findings
from metalk8s_expand.domain.preflight.ssh_failures import REMEDIES
from metalk8s_expand.domain.preflight.thresholds import RANGES, Thresholds
from metalk8s_expand.domain.runs import events
from metalk8s_expand.remote import reset_host

SCHEMA = ROOT / "pillar" / "metalk8s_expand.schema.json"
Schema = Mapping[str, Any]


def pillar_keys() -> str:
    """Return every key of the pillar, with type, range, default and meaning, from the schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    lines: list[str] = []
    for name, found in schema["properties"].items():
        lines += [name, "-" * len(name), ""]
        for path, entry, is_required in _keys((name,), found, schema["$defs"], False):
            lines += [f".. pillar:: {':'.join(path)}", ""]
            lines += [f"   *{_facts(entry, is_required)}*", ""]
            text = str(entry.get("description", ""))
            lines += [f"   {_literals(text)}", ""] if text else []
    return "\n".join(lines)


def profiles() -> str:
    """Return the table of the built-in profiles with their labels and taints."""
    rows = []
    for profile in PROFILES.values():
        keys = {label_key(role): role for role in profile.roles}
        taints = [keys.get(taint.key, taint.key) for taint in profile.taints]
        rows.append((f"``{profile.name}``", ", ".join(profile.roles), ", ".join(taints) or "none"))
    return _table(("Profile", "Labels", "Taints"), rows, (40, 30, 30))


def runner_functions() -> str:
    """Return every function of the runner with its arguments and its docstring."""
    found = source.functions(SALT / "_runners/metalk8s_expand.py")
    return _functions("metalk8s_expand", found, "runner function")


def states() -> str:
    """Return every state of the project, by file."""
    return _plugins("states", "state")


def execution_modules() -> str:
    """Return every execution function of the project, by file."""
    return _plugins("modules", "execution function")


def sls_files() -> str:
    """Return every SLS with its comment and its states."""
    lines: list[str] = []
    for found in source.sls():
        lines += [f".. sls:: {found.name}", "", f"   ``{found.path}``", ""]
        lines += _indented(found.text) if found.text else []
        lines += [f"   * ``{state}``" for state in found.states]
        lines += [""]
    return "\n".join(lines)


def event_tags() -> str:
    """Return the events of a run: tag, occasion and payload."""
    of = events.NodeStep("<expansion>", "<node>", "<step>")
    end = events.RunEnd("", 0.0, 0)
    made = (
        events.started(of.run, "", ""),
        events.step(of, events.STARTED),
        events.ended(of.run, "", end),
    )
    texts = {
        item.name: item.text for item in source.functions(LIBRARY / "domain" / "runs" / "events.py")
    }
    rows = []
    for (tag, payload), name in zip(made, ("started", "step", "ended"), strict=True):
        first = texts[name].partition("\n")[0].removeprefix("Return the event of ")
        rows.append((f"``{tag}``", first, ", ".join(f"``{key}``" for key in payload)))
    return _table(("Tag", "Occasion", "Keys"), rows, (40, 25, 35))


def preflight_checks() -> str:
    """Return the table of the preflight checks: what they check, severity and thresholds."""
    described = {key: str(found.get("description", "")) for key, found in _thresholds().items()}
    functions = source.check_functions()
    rows = []
    for name, check in findings.CHECKS.items():
        text = " ".join((check.__doc__ or "").split("\n\n")[0].split())
        text = text.removeprefix("Check that ")
        read = source.attributes(functions[name])
        keys = [
            key for key in RANGES if key in read or f"`{name}`" in described[key].replace("``", "`")
        ]
        severity = ", ".join(source.severities(functions[name]))
        text = text[:1].upper() + text[1:]
        shown = ", ".join(f":pillar:`{key} <preflight:thresholds:{key}>`" for key in keys)
        rows.append((f":check:`{name}`", severity, text, shown))
    return _table(("Check", "Severity", "What it checks", "Thresholds"), rows, (16, 14, 48, 22))


def thresholds() -> str:
    """Return the table of the thresholds with default, range and meaning."""
    rows = []
    described = _thresholds()
    for key, (least, most) in RANGES.items():
        text = _literals(str(described[key].get("description", "")))
        limits = f"{least} to {most:,}".replace(",", " ")
        rows.append((f"``{key}``", _default(getattr(Thresholds(), key)), limits, text))
    return _table(("Key", "Default", "Range", "Meaning"), rows, (22, 26, 16, 36))


def ssh_causes() -> str:
    """Return the causes of SSH failures with the remedy that the error prints."""
    rows = []
    for cause, remedy in REMEDIES.items():
        shown = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), remedy)
        rows.append((f":cause:`{cause}`", shown))
    return _table(("Cause", "Remedy in the error"), rows, (30, 70))


def exit_codes() -> str:
    """Return the table of error classes with exit code, retry and meaning."""
    rows = [("0", "", "", "Success, or there was nothing to do.")]
    codes, retries = {"Exception": "1"}, {"Exception": "no"}
    for item, base in source.error_classes():
        values = dict(_assigned(item))
        codes[item.name] = values.get("retcode", codes[base])
        retry = values.get("retry")
        retries[item.name] = retries[base] if retry is None else "yes" if retry == "True" else "no"
        text = " ".join((ast.get_docstring(item) or "").split("\n\n")[0].split())
        rows.append((codes[item.name], f":errorclass:`{item.name}`", retries[item.name], text))
    rows.sort(key=lambda row: int(row[0]))
    return _table(("Code", "Class", "Retry", "Meaning"), rows, (8, 24, 10, 58))


def removed_paths() -> str:
    """Return the paths that a removal wipes on a host."""
    return "\n".join(f"* ``{path}``" for path in reset_host.PATHS) + "\n"


def log_files() -> str:
    """Return the log places that errors of the library name, sorted."""
    places: set[str] = set()
    for path in sorted(LIBRARY.rglob("*.py")):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                places.update(re.findall(r"/var/log/[\w*/.-]+", item.value))
    return "\n".join(f"* ``{place}``" for place in sorted(places)) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        pillar_keys, profiles, runner_functions, states, execution_modules, sls_files, event_tags,
        preflight_checks, thresholds, ssh_causes, exit_codes, removed_paths, log_files,
    )
}  # fmt: skip


def _keys(
    path: tuple[str, ...], entry: Schema, definitions: Schema, is_required: bool
) -> Iterator[tuple[tuple[str, ...], Schema, bool]]:
    """Yield each key below and with this one: its path, its resolved schema, if it is required."""
    entry = _resolved(entry, definitions)
    is_map = "properties" not in entry and isinstance(entry.get("additionalProperties"), dict)
    if entry.get("description") or not (entry.get("properties") or is_map):
        yield path, entry, is_required
    required = entry.get("required", ())
    for name, found in entry.get("properties", {}).items():
        yield from _keys((*path, name), found, definitions, name in required)
    # The values of labels have no keys of their own.
    if is_map and path[-1] != "labels":
        inner = _resolved(entry["additionalProperties"], definitions)
        for name, found in inner.get("properties", {}).items():
            required = inner.get("required", ())
            yield from _keys((*path, "NAME", name), found, definitions, name in required)


def _resolved(entry: Schema, definitions: Schema) -> Schema:
    """Return the schema with its reference replaced by what it refers to."""
    reference = entry.get("$ref")
    if reference is None:
        return entry
    found = _resolved(definitions[str(reference).rpartition("/")[2]], definitions)
    return {**found, **{key: value for key, value in entry.items() if key != "$ref"}}


def _facts(entry: Schema, is_required: bool) -> str:
    """Return type, range and default of a key in one line."""
    facts = [_kind(entry)]
    if is_required:
        facts.append("required")
    if "default" in entry:
        facts.append(f"default {json.dumps(entry['default'])}".replace('"', ""))
    return "; ".join(facts)


def _kind(entry: Schema) -> str:
    if "enum" in entry:
        shown = dict.fromkeys(str(value).lower() for value in entry["enum"])
        *first, last = shown
        return f"{', '.join(first)} or {last}"
    if entry.get("type") == "integer":
        return f"integer, {entry['minimum']} to {entry['maximum']}"
    names = {"object": "mapping", "array": "list", "string": "text"}
    return names.get(str(entry.get("type")), "text")


def _thresholds() -> dict[str, Schema]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return dict(schema["$defs"]["thresholds"]["properties"])


def _default(value: object) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    if len(set(value.values())) == 1:
        return f"{next(iter(value.values()))} for each role"
    return ", ".join(f"{role} {number}" for role, number in value.items())


def _assigned(item: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for line in item.body:
        if isinstance(line, ast.AnnAssign) and line.value is not None:
            yield ast.unparse(line.target), ast.unparse(line.value)
        elif isinstance(line, ast.Assign):
            yield ast.unparse(line.targets[0]), ast.unparse(line.value)


def _plugins(folder: str, kind: str) -> str:
    lines: list[str] = []
    for path in source.plugins(folder):
        title = f"{path.stem}: {kind}s"
        lines += [title, "-" * len(title), "", source.docstring(path).strip(), ""]
        lines += [_functions(path.stem, source.functions(path), kind), ""]
    return "\n".join(lines)


def _functions(module: str, found: Iterable[Function], kind: str) -> str:
    lines: list[str] = []
    for function in found:
        # Sphinx would list all of them as built-in functions.
        lines += [f".. index:: single: {module}.{function.name}; {kind}", ""]
        lines += [f".. py:function:: {module}.{function.name}({function.arguments})"]
        lines += ["   :no-index-entry:", ""]
        lines += _indented(function.text)
        lines += [""]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"   {line}".rstrip() for line in text.splitlines()] + [""]


def _literals(text: str) -> str:
    """Return a text of the schema with its Markdown literals as those of reStructuredText."""
    return re.sub(r"`([^`]+)`", r"``\1``", text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> str:
    shown = " ".join(map(str, widths))
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {shown}", ""]
    for row in (head, *rows):
        for number, cell in enumerate(row):
            mark = "   * - " if number == 0 else "     - "
            lines.append(f"{mark}{cell}".rstrip())
    return "\n".join([*lines, ""])
