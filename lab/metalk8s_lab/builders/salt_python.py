"""The Python below Salt's environment: the hosts' own, or an older Debian's for a Salt that does not run on that one.

Salt 3006 brings a Tornado of its own, whose coroutines wait for ever on Python 3.13. Like Salt's own packages, its environment
then has a Python inside, which goes where it goes and is no part of a host's system.
"""

from __future__ import annotations

from metalk8s_lab.builders.chroot import Chroot

_NEEDS_OLDER = ("3006.",)
_VERSION = "3.11"
_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The libraries that they are linked with, the hosts' own Python needs as well.
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
    """What is added to the hosts' own system, as part of a name; nothing when their Python does."""
    return (
        [_VERSION, _SUITE, _MIRROR, _PACKAGES, _UNPACK]
        if salt_version.startswith(_NEEDS_OLDER)
        else []
    )


def install(system: Chroot, salt_version: str, place: str) -> str:
    """The program that a virtual environment is made with; an older one is put below ``place``, where it finds its library."""
    if not key(salt_version):
        return "python3"
    unpack = ["sh", "-c", _UNPACK, "unpack", _KEYS, _MIRROR, _SUITE, place, _VERSION, *_PACKAGES]
    system.run(*unpack, timeout=600)
    return f"{place}/bin/python{_VERSION}"
