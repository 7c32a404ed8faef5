"""Read MetalK8s's BootstrapConfiguration, which it mounts read-only into its Salt master."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT = "/etc/metalk8s/bootstrap.yaml"
# The external pillar of MetalK8s that serves this file; its argument is the path.
EXT_PILLAR = "metalk8s"


def path_of(opts: Mapping[str, Any]) -> str:
    """Return the path that the master's external pillar names, else MetalK8s's usual path."""
    for entry in opts.get("ext_pillar") or ():
        argument = entry.get(EXT_PILLAR) if isinstance(entry, Mapping) else None
        if isinstance(argument, Mapping):
            argument = argument.get("bootstrap_config")
        if isinstance(argument, list) and argument:
            argument = argument[0]
        if isinstance(argument, str) and argument:
            return argument
    return DEFAULT


def read(path: str) -> Any:
    """Return the document, or None if there is no such file.

    Raises OSError if the file is not readable and ValueError if it is not YAML.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        # The message of the parser would quote the line, which may hold a password.
        raise ValueError(f"it is not YAML{place}") from None
