"""Count what docs/contributing/style.rst forbids: ``python -m tests.house.prose [PATH ...]``.

The command reads docstrings, comments and string literals of Python files, comments of Salt and
YAML files, and the text of ``.rst`` and ``.md`` files. It prints each part's rate per 1,000 words
and ends with exit code 1 if a rate reaches its limit or a test name breaks the rule. With paths it
prints every place in those files.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Each construction with the plain form that replaces it.
CONSTRUCTIONS = {
    r"(?:go|goes|going|gone|went) on\b": "continue, resume, run",
    r"(?:tell|tells|told|telling) (?:of|about)\b": "report",
    r"(?:is|are|was|were|be|been|being) told\b": "report, print, log",
    r"(?:is|are|was|were|be|been|being) waited for\b": "X waits for Y",
    r"(?:is|are|was|were|be|been) (?:asked|looked|sent|sought) (?:for|at|after)\b": "active voice",
    r"(?:is|are|was|were|be) heard of\b": "no heartbeat, no answer",
    r"(?:is|are|was|were|be|it is) said\b": "state, report",
    r"mend(?:s|ed|ing)?\b": "fix, repair",
    r"anew\b": "again",
    r"once more\b": "again",
    r"whoever|whomever|whatever|wherever": "name the actor or the object",
    r"nobody|no one\b": "name the actor",
    r"somebody|someone|anybody|anyone": "name the actor",
    r"one's|oneself": "name the actor",
    r"by others|of others|others are|others have": "name the actor",
    r"as (?:well|good|far) as (?:can|it can|they can) be": "best effort",
    r"what (?:becomes|became|has become|comes|came) of\b": "result, state",
    r"keeps? (?:it|them|\w+) from\b": "prevent",
    r"(?:give|gives|given|gave|giving) (?:it |the \w+ )?back\b": "release, return",
    r"(?:take|takes|taken|took|taking) (?:it |the \w+ )?back\b": "roll back, revert",
    r"(?:is|are|was|were) no more\b|any more\b": "no longer",
    r"the way (?:on|in|out)\b": "name the next command, the entry",
    r"(?:this|that|the) very\b": "the same",
    r"of ours|of theirs|of hers": "name the owner",
    r"cut off\b": "interrupted, truncated",
    r"shall\b": "must, will",
    r"ought\b": "must, should",
    r"(?:write|writes|written|wrote) (?:it |them )?down\b": "record",
    r"in (?:its|their) turn\b": "then",
    r"what there is\b|what is there\b": "name the object",
    r"for good\b": "permanently",
    r"alike\b|likewise\b": "the same, also",
    r"thereof|wherein|therein|herein|hence|lest|thus": "plain words",
    r"(?:come|comes|came) before (?:it|us|them)\b": "name the event",
    r"so many\b|so much\b": "give the number or its name",
    r"be it\b|as it were\b": "plain words",
}
BRITISH = (
    r"(?:behaviou?r(?<!behavior)|colour|favour|neighbour|honour|centre|catalogue|defence|licence"
    r"|cancelled|labelled|(?:authori|recogni|organi|initiali|normali|synchroni|serialis|generali"
    r"|speciali|minimi|maximi|optimi|summari|utili|finali)s(?:e|es|ed|ing|ation))\w*"
)
PATTERN = re.compile(r"\b(?:" + "|".join((*CONSTRUCTIONS, BRITISH)) + r")(?!\w)", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
# A failure list shows the name alone: it must say the subject.
BAD_TEST_NAME = re.compile(
    r"test_(?:it|they|he|nor|neither|and|but|or|so|what|who|whoever|that|those|this|these|none"
    r"|nobody|nothing|one|another|other|others|which|whose|both|either|each|there|then|as|also)_"
)
CODE_LIMIT, DOCS_LIMIT = 1.5, 1.0


@dataclass(frozen=True)
class Part:
    """One row of the result: a name, the files that it holds, and its limit per 1,000 words."""

    name: str
    patterns: tuple[str, ...]
    limit: float


PARTS = (
    Part("library", ("salt/_utils/**/*.py",), CODE_LIMIT),
    Part("plugins", ("salt/_[!u]*/*.py",), CODE_LIMIT),
    Part("sls", ("salt/**/*.sls", "salt/**/*.j2", "salt/**/*.jinja", "pillar/*"), CODE_LIMIT),
    Part("tests", ("tests/**/*.py",), CODE_LIMIT),
    Part("lab", ("lab/**/*.py", "lab/files/*"), CODE_LIMIT),
    Part("chaos", ("chaos/**/*.py",), CODE_LIMIT),
    Part("bench", ("bench/**/*.py",), CODE_LIMIT),
    Part("bundle", ("bundle/*.py",), CODE_LIMIT),
    Part("release", ("release/*.py", "release/Containerfile"), CODE_LIMIT),
    Part("docs", ("docs/**/*.rst",), DOCS_LIMIT),
    Part("readme", ("*.md",), DOCS_LIMIT),
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each text that a person reads in a file, with its line number."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _python_texts(source)
    elif path.suffix in (".rst", ".md"):
        yield from enumerate(source.splitlines(), 1)
    else:
        for number, line in enumerate(source.splitlines(), 1):
            if re.match(r"\s*(?:#|\{#)", line) or re.search(r"[A-Z]\w+ \w+ .*:\s*$", line):
                yield number, line


def _python_texts(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        # A literal of one or two words is a key or an identifier.
        if isinstance(node, ast.Constant) and len(WORD.findall(str(node.value))) > 2:
            yield node.lineno, str(node.value)


def places(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each forbidden construction of a file with its line number."""
    for number, text in texts(path):
        for construction in _constructions(text):
            yield number, construction


def _constructions(text: str) -> list[str]:
    return [match.group(0) for match in PATTERN.finditer(text.replace("\n", " "))]


def test_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each test name that starts with a pronoun or a conjunction."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and BAD_TEST_NAME.match(node.name):
            yield node.lineno, node.name


def files(part: Part) -> list[Path]:
    """Return the files of a part; the checker itself names the constructions and is left out."""
    paths = {path for pattern in part.patterns for path in ROOT.glob(pattern)}
    return sorted(path for path in paths if path.is_file() and path.parent.name != "house")


def rate(part: Part) -> tuple[int, int]:
    """Return the number of constructions and of words in a part."""
    hits = words = 0
    for path in files(part):
        for _, text in texts(path):
            hits += len(_constructions(text))
            words += len(WORD.findall(text))
    return hits, words


def main(arguments: list[str]) -> int:
    """Print the rates of all parts, or the places in the files that are given."""
    if arguments:
        return _print_places([Path(argument) for argument in arguments])
    failed = False
    for part in PARTS:
        hits, words = rate(part)
        per_thousand = 1000 * hits / max(words, 1)
        failed |= per_thousand >= part.limit
        print(
            f"{part.name:<8} {per_thousand:5.2f} of {part.limit} per 1,000 words ({hits} in {words})"
        )
    names = [(path, *name) for path in files(PARTS[3]) for name in test_names(path)]
    for path, number, name in names:
        print(f"{path.relative_to(ROOT)}:{number}: {name}: name the subject of the test first")
    return 1 if failed or names else 0


def _print_places(paths: list[Path]) -> int:
    listed = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    count = 0
    for path in sorted(file for file in listed if file.is_file() and file.suffix != ".pyc"):
        found = list(places(path))
        if path.name.startswith("test_"):
            found += test_names(path)
        for number, text in sorted(found):
            print(f"{path}:{number}: {text}")
        count += len(found)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
