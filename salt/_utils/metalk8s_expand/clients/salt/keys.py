"""The keys of minions that the Salt master knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The directories of the keys, in order of precedence.
ACCEPTED = "minions"
KEY_DIRECTORIES = (ACCEPTED, "minions_pre", "minions_rejected", "minions_denied")

FEW = 50


class Keys:
    """The master's view of minion keys."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = dict(opts)

    def public_key(self, minion: str) -> tuple[str, str] | None:
        """Return (directory, PEM) of the key with this exact name, or None.

        A directory is a name like ``minions_pre``.
        """
        for directory, keys in self._keys().key_str(minion).items():
            if minion in keys:
                return str(directory), str(keys[minion])
        return None

    def public_keys(self, minions: Iterable[str]) -> dict[str, str]:
        """Return the PEM of each of these exact names that has a key in any directory.

        If a name has several keys, an accepted key wins.
        """
        wanted = set(minions)
        keys = self._keys()
        known: set[str] = set()
        for names in keys.list_keys().values():
            known.update(wanted.intersection(names))
        if not known:
            return {}
        # Salt compares every key with every name, so a long list of names is slow.
        match = sorted(known) if len(known) <= FEW else "*"
        by_directory = keys.key_str(match)
        chosen: dict[str, str] = {}
        # The accepted keys come last and replace the others.
        for directory in reversed(KEY_DIRECTORIES):
            for name, key in by_directory.get(directory, {}).items():
                if name in known:
                    chosen[str(name)] = _first(key)
        return chosen

    def accept(self, minion: str) -> bool:
        """Accept the pending key of this exact name, read it again, and return whether it is
        accepted.
        """
        self._keys().accept(match=minion)
        key = self.public_key(minion)
        return key is not None and key[0] == ACCEPTED

    def add(self, minion: str, public_key: str) -> None:
        """Store the public key of a minion that has not presented one yet, as accepted.

        The caller has made sure that no key of this name exists, and whose key it is.
        """
        keys = self._keys()
        stored = getattr(keys, "cache", None)
        # Salt 3008 and later keep keys in a cache, whose default is the same directory.
        if stored is not None and hasattr(keys, "DIR_MAP"):
            stored.store("keys", minion, {"state": "accepted", "pub": public_key})
            return
        directory = Path(self._opts["pki_dir"]) / ACCEPTED
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = directory / f".{minion}.new"
        temporary.write_text(public_key, encoding="ascii")
        temporary.replace(directory / minion)

    def delete(self, minion: str) -> bool:
        """Delete the keys of this exact name in all directories; return whether there was one."""
        keys = self._keys()
        matches = {}
        for directory, names in keys.list_keys().items():
            if minion in names:
                matches[directory] = [minion]
        if matches:
            keys.delete_key(match_dict=matches)
        return bool(matches)

    def accepted(self) -> list[str]:
        """Return the names of all accepted minions."""
        return list(self._keys().list_keys().get(ACCEPTED, ()))

    def _keys(self) -> Any:
        import salt.key

        return salt.key.get_key({**self._opts, "output": "quiet"})


def _first(key: Any) -> str:
    """Return the first key: Salt 3008 keeps a list of all denied keys of one name."""
    return str(key[0] if isinstance(key, (list, tuple)) and key else key)
