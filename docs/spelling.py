"""Check the spelling of the documentation, without a network: ``python docs/spelling.py``.

The command reads the pages, the Markdown files of the project and the texts of the JSON Schema.
Each word must be in the English dictionary of pyspellchecker or in ``docs/words.txt``, the
project's own list. Literals, roles, code blocks and addresses are left out. It prints each unknown
word with its places, and ends with exit code 1 if there is one. ``--write`` adds the unknown words
to the list; read them before you commit them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from spellchecker import SpellChecker

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WORDS = DOCS / "words.txt"
SCHEMA = ROOT / "pillar" / "metalk8s_expand.schema.json"

# What a person does not spell: literals, targets, names of roles, comments, links, options.
_LEFT_OUT = re.compile(
    r"``[^`]*``|`[^`]*<[^>]*>`_?|:[a-z:]+:`[^`]*`|`[^`]*`|\|[^|]*\|"
    r"|https?://\S+|[\w./-]+/[\w./*-]+|--[\w-]+"
)
_BLOCK = re.compile(
    r" *(?:\.\. (?:generated|drawing|list-table|run|tested|not tested|not recorded"
    r"|errorclass|check|cause|_)|:[\w-]+:)"
)
_WORD = re.compile(r"(?<![\w./:@=-])[A-Za-z][a-z]*(?:['’][a-z]+)?(?![\w/@=:]*[\d_@=/])(?!\w)")


def main(arguments: list[str]) -> int:
    """Print the unknown words with their places, or add them to the list."""
    dictionary = SpellChecker(language="en", distance=1)
    own = set(WORDS.read_text(encoding="utf-8").split())
    places: dict[str, list[str]] = {}
    for place, text in _texts():
        for word in _WORD.findall(_LEFT_OUT.sub(" ", text)):
            plain = re.sub(r"['’]s$|['’]$", "", word)
            if plain in own or plain.lower() in own or len(plain) < 2:
                continue
            if not dictionary.known([plain.lower()]):
                places.setdefault(plain, []).append(place)
    if "--write" in arguments:
        WORDS.write_text("\n".join(sorted(own | set(places), key=str.lower)) + "\n")
        return 0
    for word, found in sorted(places.items()):
        print(f"{word}: {', '.join(dict.fromkeys(found[:5]))}")
    if places:
        print(f"correct these words, or add them to {WORDS.relative_to(ROOT)}")
    return 1 if places else 0


def _texts() -> Iterator[tuple[str, str]]:
    """Yield each line that a person reads, with its place."""
    for path in sorted(DOCS.rglob("*.rst")):
        for number, line in _prose(path.read_text(encoding="utf-8").splitlines()):
            yield f"{path.relative_to(ROOT)}:{number}", line
    for path in sorted(ROOT.glob("*.md")):
        is_code = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            is_code ^= line.startswith("```")
            if not is_code and not line.startswith(("    ", "<")):
                yield f"{path.name}:{number}", line
    for text in _descriptions(json.loads(SCHEMA.read_text(encoding="utf-8"))):
        yield SCHEMA.name, text


def _prose(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page without the bodies of code blocks."""
    code_indent: int | None = None
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if code_indent is not None and (not line.strip() or indent > code_indent):
            continue
        code_indent = None
        if line.strip().startswith((".. code-block", ".. toctree", ".. literalinclude")):
            code_indent = indent
        elif not _BLOCK.match(line):
            yield number, line


def _descriptions(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "description" and isinstance(value, str):
                yield value
            else:
                yield from _descriptions(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _descriptions(item)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
