"""Where Salt finds the plugins of a pip-installed package, and the guard against two installations at once."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

log = logging.getLogger(__name__)

PACKAGE = "metalk8s_expand"
# Salt's kinds of plugins, which are the names of our sub-packages as well.
KINDS = ("modules", "pillar", "roster", "runners", "states")


def plugin_directories() -> dict[str, list[str]]:
    """The entry point ``salt.loader``: {kind: [directories]}.

    A function and find_spec, not the package itself: an editable install has its directories elsewhere.
    """
    return {kind: found for kind in KINDS if (found := _directories(f"{PACKAGE}.{kind}"))}


def mixed_installation(plugin_file: str, synced: str = "") -> str | None:
    """Why this plugin must not load: it and the library come from different installations; else None.

    For a plugin's ``__virtual__``, which passes its ``__file__``. Beside an installed one plugins of other kinds may have been
    synced: they are looked for in ``synced``, the master's ``extension_modules``.
    """
    library = Path(__file__).resolve().parent
    plugins = Path(plugin_file).resolve().parent.parent
    # Installed, the plugins are below the library; synced or in a tree, the library is in a sibling of theirs.
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
