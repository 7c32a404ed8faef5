"""The files that the master's file server serves through all configured backends.

The lookup is that of ``state.orchestrate``, so an orchestration finds the same files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from metalk8s_expand.errors import UnreachableError


class FileServer:
    """The files of one master. The master updates backends such as Git; this class does not."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._known: dict[tuple[str, str], bool] = {}

    def has(self, sls: str, saltenv: str) -> bool:
        """Return whether a saltenv has an SLS of this name (``a.b``). Raises UnreachableError."""
        if (sls, saltenv) not in self._known:
            path = sls.replace(".", "/")
            self._known[sls, saltenv] = any(
                self._is_there(name, saltenv) for name in (f"{path}.sls", f"{path}/init.sls")
            )
        return self._known[sls, saltenv]

    def document(self, path: str, saltenv: str) -> Any:
        """Return the parsed YAML file of a saltenv, or None if the saltenv does not have it.

        Raises UnreachableError, also when the file is not YAML.
        """
        import yaml

        try:
            local = self._server.find_file(path, saltenv).get("path")
            return yaml.safe_load(Path(local).read_text(encoding="utf-8")) if local else None
        except Exception as error:
            raise _unreadable(error) from error

    def files(self, directory: str, saltenv: str) -> dict[str, Path]:
        """Return the files below a directory of a saltenv by their paths in it, sorted.

        Compiled Python files are left out, as Salt's own synchronization does. Raises
        UnreachableError.
        """
        try:
            listed = self._server.file_list({"saltenv": saltenv, "prefix": directory})
            files = {}
            for path in sorted(listed):
                if path.startswith(f"{directory}/") and not path.endswith((".pyc", ".pyo")):
                    files[path] = Path(self._server.find_file(path, saltenv)["path"])
            return files
        except Exception as error:
            raise _unreadable(error) from error

    def text(self, path: str, saltenv: str) -> str:
        """Return the text of a file of a saltenv. Raises UnreachableError, also without it."""
        try:
            return Path(self._server.find_file(path, saltenv)["path"]).read_text(encoding="utf-8")
        except Exception as error:
            raise _unreadable(error) from error

    def saltenvs(self) -> list[str]:
        """Return the names of all saltenvs, sorted. Raises UnreachableError."""
        try:
            return sorted(map(str, self._server.envs()))
        except Exception as error:
            raise _unreadable(error) from error

    def _is_there(self, path: str, saltenv: str) -> bool:
        try:
            return bool(self._server.find_file(path, saltenv).get("path"))
        except Exception as error:
            raise _unreadable(error) from error

    @cached_property
    def _server(self) -> Any:
        import salt.fileserver

        return salt.fileserver.Fileserver(dict(self._opts))


def _unreadable(error: Exception) -> UnreachableError:
    """Return the error for any exception: a backend raises what the library that it uses raises."""
    return UnreachableError(
        f"the master's file server cannot be read: {type(error).__name__}: {error}",
        hint="check file_roots, fileserver_backend and their sources: salt-run fileserver.envs",
        log="/var/log/salt/master",
    )
