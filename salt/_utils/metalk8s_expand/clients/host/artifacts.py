"""Unpack archives and import images of the artifact store on this host."""

from __future__ import annotations

import http.client
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from metalk8s_expand.errors import DeployError, ExpandError, UnreachableError
from metalk8s_expand.remote import install_minion

CTR = ("ctr", "--namespace", "k8s.io", "images")
# Images that are fetched and unpacked at the same time; containerd itself is parallel.
AT_ONCE = 3
IMPORT_S, LIST_S = 600, 60
LOG = "journalctl --unit containerd on the node"

Image = Mapping[str, str]


def unpack(
    url: str, sha256: str, name: str, root: str = "/", cache: str = install_minion.CACHE
) -> bool:
    """Unpack an archive at ``root`` unless this very archive was unpacked; return whether it was.

    Raises DeployError if the checksum differs, UnreachableError if the store does not answer.
    """
    try:
        return bool(install_minion.unpack(url, sha256, name, root, cache))  # type: ignore[no-untyped-call]
    except (install_minion.Failed, tarfile.TarError, subprocess.SubprocessError) as error:
        raise DeployError(f"{name} cannot be unpacked: {error}", hint=_store(url)) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url} cannot be fetched: {error}", hint=_store(url)) from error


def pending(name: str, sha256: str, cache: str = install_minion.CACHE) -> str | None:
    """Return the change that ``unpack`` would make, for test=True."""
    known = install_minion.read(f"{cache}/{name}.unpacked")  # type: ignore[no-untyped-call]
    return None if known == sha256 else f"{name} would be unpacked"


def missing(images: Sequence[Image]) -> list[Image]:
    """Return the images that the container runtime does not have, by their references."""
    done = subprocess.run(
        [*CTR, "list", "--quiet"], capture_output=True, text=True, timeout=LIST_S, check=False
    )
    if done.returncode:
        raise DeployError(
            f"the container runtime cannot list its images: {done.stderr.strip()[-300:]}",
            hint="check that containerd runs on the node",
            log=LOG,
        )
    present = set(done.stdout.split())
    return [image for image in images if image["reference"] not in present]


def import_all(images: Sequence[Image]) -> list[str]:
    """Import images; return their references. All failures are in one DeployError."""
    problems = []
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for image, error in zip(images, pool.map(_try_import, images), strict=True):
            if error is not None:
                problems.append(f"{image['reference']}: {error}")
    if problems:
        raise DeployError(
            "images cannot be imported",
            problems=problems,
            hint=_store(images[0]["url"]),
            log=LOG,
        )
    return [image["reference"] for image in images]


def _try_import(image: Image) -> ExpandError | str | None:
    try:
        _import(image)
    except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
        return str(error)
    except ExpandError as error:
        return error.message
    return None


def _import(image: Image) -> None:
    """Import an archive after its checksum is right.

    A runtime that reads an archive as it arrives may have the images of a forged one before all of
    it is there.
    """
    os.makedirs(install_minion.CACHE, exist_ok=True)
    with tempfile.TemporaryFile(dir=install_minion.CACHE) as archive:
        digest = install_minion.fetch(image["url"], archive.write)  # type: ignore[no-untyped-call]
        if digest != image["sha256"]:
            raise DeployError(
                f"{image['url']} has the SHA-256 {digest}, but the pillar says {image['sha256']}"
            )
        archive.seek(0)
        done = subprocess.run(
            [*CTR, "import", "-"],
            stdin=archive,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=IMPORT_S,
            check=False,
        )
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()[-300:]
        raise DeployError(text or f"ctr ended with {done.returncode}")


def _store(url: str) -> str:
    return f"check that the artifact store serves the file to this node: curl --head {url}"
