"""The commit that a release is made of: its state, its date and its files."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

from release.errors import ReleaseError

# Variables of an outer git, such as those of a hook, would lead to another repository.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def commit_problems(root: Path, tag: str) -> list[str]:
    """Return what prevents a release of the tree's commit under this tag."""
    problems = []
    changed = _git(root, "status", "--porcelain").decode().splitlines()
    if changed:
        listed = ", ".join(line[3:] for line in changed[:5])
        rest = f" and {len(changed) - 5} others" if len(changed) > 5 else ""
        problems.append(
            f"the tree has {len(changed)} files that the commit does not have: {listed}{rest};"
            " commit or remove them"
        )
    if _git(root, "tag", "--list", tag):
        tagged = _git(root, "rev-parse", f"{tag}^{{commit}}").decode().strip()
        head = _git(root, "rev-parse", "HEAD").decode().strip()
        if tagged != head:
            problems.append(
                f"the tag {tag} names commit {tagged[:12]}, and the tree is at {head[:12]}: check"
                f" out {tag}, or raise __version__"
            )
    return problems


def date(root: Path) -> int:
    """Return the time of the commit, in seconds since 1970."""
    return int(_git(root, "log", "-1", "--format=%ct"))


def export(root: Path, target: Path) -> None:
    """Write the files of the commit to a new directory.

    Their modes do not depend on the umask or on git's configuration, since the wheel has them.
    """
    packed = _git(root, "archive", "--format=tar", "HEAD")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is None:
                continue
            path = target / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())
            path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _git(root: Path, *arguments: str) -> bytes:
    ran = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, check=False, env=_ENVIRONMENT
    )
    if ran.returncode:
        message = ran.stderr.decode(errors="replace").strip()
        raise ReleaseError(f"git {arguments[0]} in {root} failed: {message}")
    return ran.stdout
