"""Test which Debian files the image of the Salt master contains."""

import pytest
from metalk8s_lab.builders import salt_image

STATUS = """\
Package: openssh-client
Depends: adduser, libc6 (>= 2.38), default-editor | libedit2 (>= 2.11)
Description: a client
 of SSH: Depends on much

Package: libc6
Architecture: amd64
Pre-Depends: libgcc-s1

Package: libgcc-s1

Package: libedit2
Depends: libc6:any (>= 2)

Package: adduser

Package: systemd
"""


@pytest.fixture
def system(tmp_path):
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info.parent / "status").write_text(STATUS)
    (info / "libc6:amd64.list").write_text(
        "/.\n/lib\n/lib/x86_64\n/lib/x86_64/libc.so.6\n/usr/share/doc/libc6/copyright\n/gone\n"
    )
    (info / "libc6-dev.list").write_text("/usr/include/stdio.h\n")
    (info / "openssh-client.list").write_text("/usr/bin/ssh\n/usr/bin/slogin\n/etc/passwd\n")
    for name in (
        "usr/lib/x86_64/libc.so.6",
        "usr/bin/ssh",
        "usr/include/stdio.h",
        "usr/share/doc/libc6/copyright",
        "etc/passwd",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "usr/bin/ssh").chmod(0o755)
    (tmp_path / "usr/bin/slogin").symlink_to("ssh")
    (tmp_path / "usr/lib/python3.13/__pycache__").mkdir(parents=True)
    (tmp_path / "usr/lib/python3.13/__pycache__/os.cpython-313.pyc").write_text("")
    return tmp_path


def test_packages_include_their_installed_dependencies(system):
    assert salt_image.with_dependencies(system, ["openssh-client"]) == [
        "libc6",
        "libedit2",
        "libgcc-s1",
        "openssh-client",
    ]


def test_image_contains_files_of_packages_and_of_their_installation(system, monkeypatch):
    monkeypatch.setattr(salt_image, "PACKAGES", ("openssh-client",))
    found = {entry.name: entry for entry in salt_image._debian(system)}
    assert sorted(found) == [
        "bin",
        "lib",
        "lib64",
        "sbin",
        "usr/bin/slogin",
        "usr/bin/ssh",
        "usr/lib/python3.13/__pycache__/os.cpython-313.pyc",
        "usr/lib/x86_64/libc.so.6",
        "var/run",
    ]
    assert (found["usr/bin/slogin"].link, found["usr/bin/ssh"].mode) == ("ssh", 0o755)
