"""The keys of minions that the Salt master knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# The directories of the keys, in order of precedence.
KEY_DIRECTORIES = ("minions", "minions_pre", "minions_rejected", "minions_denied")


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
        known = {name for names in keys.list_keys().values() for name in names if name in wanted}
        # Salt compares every key with every name, so a long list of names is slow.
        match = sorted(known) if len(known) <= FEW else "*"
        found = keys.key_str(match) if known else {}
        ordered = [found.get(directory, {}) for directory in reversed(KEY_DIRECTORIES)]
        return {
            str(name): _first(key)
            for those in ordered
            for name, key in those.items()
            if name in known
        }

    def accept(self, minion: str) -> bool:
        """Accept the pending key of this exact name, read it again, and return whether it is accepted."""
        self._keys().accept(match=minion)
        found = self.public_key(minion)
        return found is not None and found[0] == "minions"

    def delete(self, minion: str) -> bool:
        """Delete the keys of this exact name in all directories; return whether there was one."""
        keys = self._keys()
        found = {
            directory: [minion] for directory, names in keys.list_keys().items() if minion in names
        }
        if found:
            keys.delete_key(match_dict=found)
        return bool(found)

    def accepted(self) -> list[str]:
        """Return the names of all accepted minions."""
        return list(self._keys().list_keys().get("minions", ()))

    def _keys(self) -> Any:
        import salt.key

        return salt.key.get_key({**self._opts, "output": "quiet"})


def _first(key: Any) -> str:
    """Return the first key: Salt 3008 keeps a list of all denied keys of one name."""
    return str(key[0] if isinstance(key, (list, tuple)) and key else key)
