"""The pillar that the Salt master renders for itself and for the declaration."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.errors import SettingsError

PILLAR_KEY = "metalk8s_expand"
MASTER_SUFFIX = "_master"


def declared_pillar(opts: Mapping[str, Any], master_id: str | None = None) -> Any:
    """Return what the pillar of ``<master id>`` declares under ``metalk8s_expand``, or None.

    External pillars are excluded: the external pillar of this extension calls this function.
    """
    return master_pillar(opts, master_id).get(PILLAR_KEY)


def master_pillar(opts: Mapping[str, Any], master_id: str | None = None) -> dict[str, Any]:
    """Return the pillar that ``state.orchestrate`` sees, without external pillars.

    Raises SettingsError when the pillar does not render.
    """
    import salt.loader
    import salt.pillar

    name = master_id or pillar_id(opts)
    own = copy.deepcopy(dict(opts))
    # Errors of a pillar that is already in the options would appear in this one.
    own.update(
        {
            "ext_pillar": [],
            "id": name,
            "pillar": {},
            "pillarenv": None,
            "pillar_safe_render_error": False,
        }
    )
    pillar = salt.pillar.Pillar(own, {"id": name}, name, None).compile_pillar()
    if pillar.get("_errors"):
        raise SettingsError(
            f"the pillar of {name} cannot be compiled: "
            + "; ".join(map(_reason, pillar["_errors"])),
            hint="fix the pillar file that the message names",
        )
    return dict(pillar)


def master_key(opts: Mapping[str, Any]) -> str:
    """Return the PEM of the master's public key, or nothing if this user may not read it."""
    try:
        return (Path(str(opts["pki_dir"])) / "master.pub").read_text(encoding="utf-8")
    except OSError:
        return ""


def _reason(error: object) -> str:
    """Return why a pillar file does not render.

    The lines of the file that Salt appends are left out: they may contain secrets.
    """
    return " ".join(str(error).partition("\n---")[0].split())


def pillar_id(opts: Mapping[str, Any]) -> str:
    """Return the ID for which Salt compiles the master's own pillar.

    salt-ssh and masters configure it without the suffix.
    """
    name = str(opts["id"])
    return name if name.endswith(MASTER_SUFFIX) else name + MASTER_SUFFIX
