"""Locate the plugins of a pip-installed package for Salt and detect two installations."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

log = logging.getLogger(__name__)

PACKAGE = "metalk8s_expand"
# Salt's kinds of plugins are also the names of our subpackages.
KINDS = ("modules", "output", "pillar", "roster", "runners", "states")


def plugin_directories() -> dict[str, list[str]]:
    """Return {kind: [directories]} for the entry point ``salt.loader``.

    find_spec locates the directories, since an editable install has them outside the package.
    """
    by_kind = {}
    for kind in KINDS:
        directories = _directories(f"{PACKAGE}.{kind}")
        if directories:
            by_kind[kind] = directories
    return by_kind


def mixed_installation(plugin_file: str, synced: str = "") -> str | None:
    """Return an error if the plugin and the library are of different installations, else None.

    A plugin's ``__virtual__`` passes its ``__file__`` and must not load after an error. Plugins of
    other kinds may be synced next to an installed package, so the function also checks ``synced``,
    the master's ``extension_modules``.
    """
    library = Path(__file__).resolve().parent
    plugins = Path(plugin_file).resolve().parent.parent
    # In an installed package, the plugins are below the library. In a synced or source tree, the
    # library is in a sibling directory of the plugins.
    beside = Path(synced) / "utils" / PACKAGE
    if synced and plugins == library and beside.is_dir():
        plugins = beside
    elif plugins in (library, library.parent.parent):
        return None
    return (
        f"{PACKAGE} is there twice: plugins in {plugins}, their library in {library}: "
        "pip uninstall metalk8s-expand, or remove the synced files and restart the master"
    )


def _directories(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except ImportError as error:
        log.warning("cannot look for %s: %s", package, error)
        return []
    return list(spec.submodule_search_locations or ()) if spec else []
