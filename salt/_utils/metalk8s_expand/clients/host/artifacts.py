"""Unpack archives and import images of the artifact store on this host, while they are fetched."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from metalk8s_expand.errors import DeployError, ExpandError, UnreachableError
from metalk8s_expand.remote import install_minion

CTR = ("ctr", "--namespace", "k8s.io", "images")
# Images that are fetched and unpacked at the same time; containerd itself is parallel.
AT_ONCE = 3
# An import ends with the archive's last blocks, which are kept back until the checksum is right.
HELD_BACK = 10_240
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
    except OSError as error:
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
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    except ExpandError as error:
        return error.message
    return None


def _import(image: Image) -> None:
    """Pass the archive on to the runtime as it arrives, its end only when the checksum is right."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*CTR, "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert process.stdin is not None
        try:
            _feed(image, process.stdin)
            process.stdin.close()
            status = process.wait(timeout=IMPORT_S)
        except BrokenPipeError:
            status = process.wait(timeout=IMPORT_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if status:
            said.seek(0)
            text = said.read().decode(errors="replace").strip()[-300:]
            raise DeployError(text or f"ctr ended with {status}")


def _feed(image: Image, pipe: IO[bytes]) -> None:
    checksum, end = install_minion.fetch(  # type: ignore[no-untyped-call]
        image["url"], pipe.write, HELD_BACK
    )
    if checksum != image["sha256"]:
        raise DeployError(
            f"{image['url']} has the SHA-256 {checksum}, but the pillar says {image['sha256']}"
        )
    pipe.write(end)


def _store(url: str) -> str:
    return f"check that the artifact store serves the file to this node: curl --head {url}"
