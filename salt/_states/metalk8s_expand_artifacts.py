"""
States of what a node gets from the cluster's artifact store: archives and container images.
"""

from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.clients.host import artifacts
from metalk8s_expand.loader import mixed_installation

__virtualname__ = "metalk8s_expand_artifacts"


def __virtual__():
    reason = mixed_installation(__file__)
    return (False, reason) if reason else __virtualname__


@state_boundary
def unpacked(name, url, sha256):
    """
    Ensure that a tar archive is unpacked at ``/``. It is unpacked while it is fetched, and its
    files get to their places when the checksum is right.

    name
        Name of the archive; a marker of this name in ``/var/cache/metalk8s`` holds the checksum.
    url
        Place of the archive. No proxy is used.
    sha256
        SHA-256 of the archive, as hexadecimal digits.

    Raises DeployError if the checksum differs. Nothing is in its place then.
    """
    if __opts__["test"]:
        return artifacts.pending(name, sha256)
    return f"{name} was unpacked" if artifacts.unpack(url, sha256, name) else None


@state_boundary
def imported(name, images):
    """
    Ensure that the container runtime has these images. They are fetched and imported some at a
    time, each only after its checksum is right.

    name
        Any text; it is shown.
    images
        List of mappings: ``reference`` (name of the image in the runtime), ``url`` and ``sha256``
        of the archive.

    Raises DeployError with all images that cannot be imported.
    """
    wanted = artifacts.missing(images)
    if __opts__["test"] or not wanted:
        return [image["reference"] for image in wanted]
    return artifacts.import_all(wanted)
