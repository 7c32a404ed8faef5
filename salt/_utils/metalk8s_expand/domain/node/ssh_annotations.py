"""Write and parse the SSH annotations of a Node.

The manifest and the roster share this module, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from metalk8s_expand.domain.node.spec import (
    DEFAULT_KEY_DIRECTORY,
    DEFAULT_PORT,
    DEFAULT_USER,
    KEY_NAME,
    Ssh,
)
from metalk8s_expand.domain.parsing import scalars
from metalk8s_expand.errors import Problem, SettingsError

PREFIX = "metalk8s.scality.com/"
HOST = f"{PREFIX}ssh-host"
PORT = f"{PREFIX}ssh-port"
USER = f"{PREFIX}ssh-user"
KEY_PATH = f"{PREFIX}ssh-key-path"
SUDO = f"{PREFIX}ssh-sudo"
HOST_KEY = f"{PREFIX}ssh-host-key"
# This project owns all of them: a registration removes each one that is not declared.
KEYS = (HOST, PORT, USER, KEY_PATH, SUDO, HOST_KEY)

# How annotations are parsed that have several texts for one value, and their default.
_DEFAULTS: Mapping[str, tuple[Callable[[object], object], object]] = {
    HOST: (scalars.host, None),
    PORT: (scalars.port_text, DEFAULT_PORT),
    USER: (scalars.user, DEFAULT_USER),
    SUDO: (scalars.boolean, False),
}

_T = TypeVar("_T")


def to_annotations(ssh: Ssh, node_name: str) -> dict[str, str]:
    """Return the annotations for this SSH access.

    Key, host and sudo are always set, as in MetalK8s's template; the rest only if not default.
    """
    optional = {
        PORT: str(ssh.port) if ssh.port != DEFAULT_PORT else None,
        USER: ssh.user if ssh.user != DEFAULT_USER else None,
        HOST_KEY: ssh.host_key,
    }
    return {
        KEY_PATH: ssh.key_path,
        HOST: ssh.host or node_name,
        SUDO: "true" if ssh.sudo else "false",
        **{key: value for key, value in optional.items() if value is not None},
    }


def mean_the_same(key: str, current: object, wanted: object) -> bool:
    """Return whether two values of an annotation mean the same; None is an absent annotation.

    MetalK8s's UI also writes the values that are the default without an annotation.
    """
    if key not in _DEFAULTS:
        return current == wanted
    parse, default = _DEFAULTS[key]
    try:
        known = default if current is None else parse(current)
        return known == (default if wanted is None else parse(wanted))
    except scalars.Invalid:
        return False


def from_annotations(
    name: str, annotations: object, key_directory: str = DEFAULT_KEY_DIRECTORY
) -> Ssh:
    """Return the SSH access that the annotations of this Node describe.

    Raise SettingsError that lists all problems of the annotations.
    """
    problems: list[Problem] = []
    values = annotations if isinstance(annotations, Mapping) else {}

    def take(key: str, parse: Callable[[object], _T], default: _T) -> _T:
        if key not in values:
            return default
        try:
            return parse(values[key])
        except scalars.Invalid as error:
            problems.append(Problem(f"{name}:{key}", values[key], error.message, error.remedy))
            return default

    if HOST not in values:
        problems.append(_missing_host(name, annotations))
    ssh = Ssh(
        host=take(HOST, scalars.host, name),
        port=take(PORT, scalars.port_text, DEFAULT_PORT),
        user=take(USER, scalars.user, DEFAULT_USER),
        key_path=take(KEY_PATH, scalars.key_path(key_directory), f"{key_directory}/{KEY_NAME}"),
        sudo=take(SUDO, scalars.boolean, False),
        host_key=take(HOST_KEY, scalars.host_key, None),
    )
    if problems:
        raise SettingsError(
            "the SSH annotations of the Node are invalid", node=name, problems=problems
        )
    return ssh


def _missing_host(name: str, annotations: object) -> Problem:
    remedy = f"kubectl annotate node {name} {HOST}=ADDRESS, or declare the node in the pillar"
    value = sorted(map(str, annotations)) if isinstance(annotations, Mapping) else annotations
    return Problem(f"{name}:{HOST}", value, "is missing", remedy)
