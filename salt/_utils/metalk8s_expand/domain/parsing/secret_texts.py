"""Leave secrets out of the text of logs: keys, tokens, passwords, credentials of a kubeconfig.

The rules prefer to leave out too much. They keep the name of a secret, so that a reader sees what
was there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LEFT_OUT = "[left out]"

# A name that ends in one of these words has a secret value. ``secretName`` and ``token-ttl`` do not
# end so.
_WORDS = (
    r"passwords?|passwd|passphrase|pwd|secrets?|tokens?|credentials?|api[-_]?keys?|access[-_]?keys?"
    r"|access[-_]?key[-_]?id|private[-_]?keys?|secret[-_]?keys?|encryption[-_]?keys?|session[-_]?keys?"
    r"|client[-_]key|client[-_]?key[-_]?data|client[-_]?certificate[-_]?data"
    r"|certificate[-_]?authority[-_]?data"
)
# ``tls.key`` of a Secret; the path of a key file is not a name.
_NAME = rf"(?<![\w./-])(?:[\w.-]*?(?:{_WORDS})|[\w-]+\.key)"
# A value ends with its quotation mark, or with the line. Within JSON in a string, each mark has
# backslashes.
_QUOTED = (
    r"(?:\"(?:[^\"\\]|\\.)*(?:\"|\\?$)|'(?:[^'\\]|\\.|'')*(?:'|\\?$)"
    r"|(?P<quote>\\+[\"']).*?(?:(?<!\\)(?P=quote)|$))"
)
_HEADERS = (
    "authorization|proxy-authorization|www-authenticate|cookie|set-cookie|x-auth-token|x-api-key"
    "|x-amz-security-token"
)

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A header, to the end of the line: its value may have any form.
    (re.compile(rf"(?i)\b(?P<kept>(?:{_HEADERS})\\*[\"']?\s*[:=]).*"), rf"\g<kept> {LEFT_OUT}"),
    # Options of a command line.
    (
        re.compile(rf"(?i)(?P<kept>--[\w-]*(?:{_WORDS})(?:=|\s+))(?:{_QUOTED}|[^\s\[]\S*)"),
        rf"\g<kept>{LEFT_OUT}",
    ),
    # Quoted values of JSON, of YAML and of structured log lines.
    (
        re.compile(rf"(?i)(?P<kept>{_NAME}\\*[\"']?\s*[:=]\s*){_QUOTED}"),
        rf"\g<kept>{LEFT_OUT}",
    ),
    # A value without quotation marks of YAML may contain blanks.
    (
        re.compile(rf"(?i)(?P<kept>{_NAME}\\*[\"']?\s*:\s+)(?!\[left out\])\S.*"),
        rf"\g<kept>{LEFT_OUT}",
    ),
    (
        re.compile(rf"(?i)(?P<kept>{_NAME}\\*[\"']?\s*[:=]\s*)(?!\[left out\])\S+"),
        rf"\g<kept>{LEFT_OUT}",
    ),
    (re.compile(r"(?i)\b(?P<kept>bearer|basic)\s+(?!\[left out\])\S+"), rf"\g<kept> {LEFT_OUT}"),
    # A JSON Web Token, as of a service account.
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}"), LEFT_OUT),
    # A bootstrap token of Kubernetes.
    (re.compile(r"(?<![\w.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.-])"), LEFT_OUT),
    # The password of a URL.
    (
        re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+(?=@)"),
        rf"\g<kept>{LEFT_OUT}",
    ),
)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")
_WHOLE = re.compile(_BEGIN.pattern + ".*?" + _END.pattern)
_BASE64 = re.compile(r"(?:^|\s)[A-Za-z0-9+/=]{16,}$")
KEY_LEFT_OUT = f"private key {LEFT_OUT}"


def without_secrets(lines: Sequence[str]) -> list[str]:
    """Return the lines of a text with ``[left out]`` in place of each secret.

    A private key in several lines becomes one line. The text may begin or end within a key.
    """
    kept: list[str] = []
    inside = False
    for line in lines:
        text = _WHOLE.sub(KEY_LEFT_OUT, line)
        if _END.search(text):
            if not inside:
                _drop_key(kept)
                kept.append(KEY_LEFT_OUT)
            inside = False
            text = text[_last_end(text) :]
            if not text.strip():
                continue
        elif inside:
            continue
        begin = _BEGIN.search(text)
        if begin:
            kept.append(_without_secrets(text[: begin.start()]) + KEY_LEFT_OUT)
            inside = True
            continue
        kept.append(_without_secrets(text))
    return kept


def _last_end(text: str) -> int:
    return [match.end() for match in _END.finditer(text)][-1]


def _drop_key(kept: list[str]) -> None:
    """Drop the last lines that are the rest of a key whose first line is not in the text."""
    while kept and _BASE64.search(kept[-1]):
        kept.pop()


def _without_secrets(line: str) -> str:
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return line
