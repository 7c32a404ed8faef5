"""
Print the text of the runner ``metalk8s_expand`` with colors.

The runner chooses this outputter itself, unless ``--out`` names another one. A color repeats what
a word of the text says: red is a failure or a removal, yellow a warning or a change, green a
success or an addition. There are no colors in a pipe, with ``--no-color``, with the environment
variable ``NO_COLOR``, and on a terminal without them.

CLI Example:

.. code-block:: bash

    salt-run metalk8s_expand.plan
    NO_COLOR=1 salt-run metalk8s_expand.status
"""

import os

# The keys of a result that are text.
TEXTS = ("text", "error")
CODES = {
    "add": "32",
    "bad": "1;31",
    "change": "33",
    "good": "32",
    "remove": "31",
    "title": "1",
    "warn": "33",
}


def output(data, **kwargs):
    """
    Return the text of a result. Salt's own outputter prints a result without text.

    data
        The result of the runner: ``text`` or ``error``, and ``styles``, the places that have a
        style: line, first column, end column and the name of the style.
    """
    for key in TEXTS:
        if isinstance(data.get(key), str):
            text = data[key]
            return colored(text, data.get("styles") or ()) if has_colors() else text
    # Salt then uses its own outputter.
    raise KeyError("text")


def has_colors():
    """Return whether the output may have colors. ``--force-color`` precedes the environment."""
    if __opts__.get("force_color"):
        return True
    quiet = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return bool(__opts__.get("color")) and not quiet


def colored(text, styles):
    """Return the text with the escape sequences of these styles."""
    lines = text.split("\n")
    # From the end of a line, since each sequence moves what is behind it.
    for number, start, end, style in sorted(map(tuple, styles), reverse=True):
        line = lines[number]
        if style in CODES:
            code = CODES[style]
            lines[number] = f"{line[:start]}\033[{code}m{line[start:end]}\033[0m{line[end:]}"
    return "\n".join(lines)
