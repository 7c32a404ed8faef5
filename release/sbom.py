"""Write a bill of materials of an artifact, in the format CycloneDX 1.6.

The same artifact and time give the same text: the serial number is made of the artifact's digest.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement

from release.errors import ReleaseError

# CycloneDX has no field for a range of versions before 1.7.
RANGE = "metalk8s-expand:requirement"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "metalk8s-expand")


@dataclass(frozen=True)
class Project:
    """What the bills of all artifacts say about the project.

    ``needs`` has the requirements that are not part of an artifact, such as ``salt>=3006``.
    """

    name: str
    version: str
    summary: str
    license: str
    needs: Sequence[Requirement]


def bill(project: Project, artifact: bytes, files: Mapping[str, bytes], epoch: int) -> str:
    """Return the bill of an artifact with these files, as JSON that is valid by the schema."""
    digest = _digest(artifact)
    # No index has the project: a URL of one would name the package of another author.
    place = PackageURL(
        "generic", None, project.name, project.version, {"checksum": f"sha256:{digest}"}
    )
    product = Component(
        name=project.name,
        version=project.version,
        type=ComponentType.APPLICATION,
        bom_ref=f"{project.name}@{project.version}",
        description=project.summary,
        licenses=[LicenseExpression(project.license)],
        purl=place,
        hashes=[_hash(digest)],
    )
    needs = [_needed(requirement) for requirement in project.needs]
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, digest),
        components=[*needs, *(_file(path, data) for path, data in files.items())],
    )
    bom.metadata.component = product
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    bom.register_dependency(product, needs)
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        raise ReleaseError(f"the bill of materials is not valid by its schema: {error}")
    return f"{text}\n"


def _needed(requirement: Requirement) -> Component:
    """Return a component that pip or MetalK8s brings, in any version of the range."""
    return Component(
        name=requirement.name,
        type=ComponentType.LIBRARY,
        bom_ref=f"requirement:{requirement.name}",
        scope=ComponentScope.REQUIRED,
        purl=PackageURL("pypi", None, requirement.name),
        properties=[Property(name=RANGE, value=str(requirement))],
    )


def _file(path: str, data: bytes) -> Component:
    return Component(
        name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=[_hash(_digest(data))]
    )


def _hash(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
