"""Provide the Python of Salt's environment: the hosts' own, or that of an older Debian.

Salt 3006 contains its own Tornado, whose coroutines hang forever on Python 3.13. For it the
environment contains a Python, as in Salt's own packages. That Python is not part of a host's
system.
"""

from __future__ import annotations

from metalk8s_lab.builders.chroot import Chroot

_NEEDS_OLDER = ("3006.",)
_VERSION = "3.11"
_HOSTS_VERSION = "3.13"
_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The hosts' own Python needs the same shared libraries, so the hosts have them.
_PACKAGES = (
    f"libpython{_VERSION}-minimal",
    f"libpython{_VERSION}-stdlib",
    f"python{_VERSION}-minimal",
    f"python{_VERSION}-venv",
    "python3-pip-whl",
    "python3-setuptools-whl",
)
_UNPACK = """
set -e
echo "deb [signed-by=$1] $2 $3 main" > /etc/apt/sources.list.d/older.list
apt-get update -qq
mkdir /var/tmp/older && cd /var/tmp/older
suite=$3 home=$4 version=$5; shift 5
for package; do apt-get download -qq "$package/$suite"; done
for file in *.deb; do dpkg --extract "$file" /; done
# A link to a place that is there on Debian's hosts of that version only.
rm -f /usr/lib/python$version/sitecustomize.py
mkdir -p $home/bin $home/lib
cp -a /usr/bin/python$version $home/bin/
cp -a /usr/lib/python$version $home/lib/
"""


def key(salt_version: str) -> list[object]:
    """Return the input of the older Python for the digest; empty if the hosts' Python works."""
    return (
        [_VERSION, _SUITE, _MIRROR, _PACKAGES, _UNPACK]
        if salt_version.startswith(_NEEDS_OLDER)
        else []
    )


def install(system: Chroot, salt_version: str, place: str) -> str:
    """Return the Python program that makes the virtual environment.

    Install an older Python with its library below ``place`` if this Salt needs it.
    """
    if not key(salt_version):
        return "python3"
    unpack = ["sh", "-c", _UNPACK, "unpack", _KEYS, _MIRROR, _SUITE, place, _VERSION, *_PACKAGES]
    system.run(*unpack, timeout=600)
    return f"{place}/bin/python{_VERSION}"


def library(salt_version: str) -> str:
    """Return the name of the directory of the environment's packages, such as ``python3.13``."""
    return f"python{_VERSION if key(salt_version) else _HOSTS_VERSION}"
