"""The recorded outputs of ``docs/shown``, and their comparison with the output of another run.

``UPDATE_GOLDEN=1`` records an output whose words have changed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.documented import DOCS, SHOWN, Output

# What differs between two runs that do the same, and the word that stands for it.
_DIFFERS = (
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?", "TIME"),
    (r"\b\d{20}\b", "JOB"),
    (r"\b\d{14}\b", "RUN"),
    (r"\b(?=[a-f]*\d)[0-9a-f]{12,}\b", "DIGEST"),
    (r"\b([a-z0-9-]+)_\d+_[0-9a-f]{8}\b", r"\1_PROCESS"),
    (r"(?<![\w.])\d+\.\d+(?=(?:ms|µs|s)?(?![\w.]))", "NUMBER"),
    (r"(?<= )(?:\d+[dhms])+(?= |$)", "AGE"),
    # The step of a removal for the leader of etcd alone, and what a host holds.
    (r"\bleadership .*?(?=api_server )", ""),
    (r"\b\d+(?= (?:services|paths|containers)\b)", "COUNT"),
    (r"\bleader [a-z0-9-]+", "leader NODE"),
    # Members of etcd answer in any order, and of certificates that end at one time any comes first.
    (r"\bhttps://[0-9.]+(?=:2379 is healthy)", "https://MEMBER"),
    (r"(?:[a-z0-9-]+ ){2}(?=TIME NUMBER\b)", "NODE CERTIFICATE "),
)


def words(text: str) -> list[str]:
    """Return the words of an output that are the same in each run.

    The width of a column and the end of a line follow from the words that differ.
    """
    line = " ".join(text.split())
    for pattern, word in _DIFFERS:
        line = re.sub(pattern, word, line)
    return line.split()


def problems(output: Output, now: str, top: Path = DOCS) -> list[str]:
    """Compare an output with the recorded one, or record it if the environment says so."""
    path = top / SHOWN / output.name
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    if words(output.part(before)) == words(output.part(now)) != []:
        return []
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        lines = (line.rstrip() for line in now.strip("\n").splitlines())
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return []
    return [
        f"docs/shown/{output.name} is not what the command prints; UPDATE_GOLDEN=1 records it:",
        f"recorded: {' '.join(words(output.part(before)))}",
        f"printed:  {' '.join(words(output.part(now)))}",
    ]
