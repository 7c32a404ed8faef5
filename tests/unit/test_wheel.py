"""The wheel has exactly the files of a golden list: nothing of Salt's own package, nothing forgotten.

``UPDATE_GOLDEN=1`` rewrites the list. Its metadata is complete, and its entry points lead to objects of it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import metalk8s_expand
from tests import extension
from tests.once import once

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden" / "wheel.txt"
# Run outside of the tree: each entry point with the file of the object that it leads to.
ENTRY_POINTS = """
import importlib.metadata, json, sys
sys.path.insert(0, sys.argv[1])
[found] = importlib.metadata.distributions(name="metalk8s-expand", path=[sys.argv[1]])
print(json.dumps([
    (point.group, point.name, callable(point.load()), sys.modules[point.module].__file__)
    for point in found.entry_points
]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [made] = once(tmp_path_factory, "wheel", extension.wheel).glob("*.whl")
    return made


@pytest.fixture(scope="module")
def files(wheel: Path) -> list[str]:
    return sorted(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path, files: list[str]) -> str:
    [name] = [name for name in files if name.endswith(".dist-info/METADATA")]
    return zipfile.ZipFile(wheel).read(name).decode()


@pytest.fixture(scope="module")
def fields(metadata: str) -> Message:
    return Parser().parsestr(metadata)


def test_golden(files: list[str]) -> None:
    found = "".join(f"{name}\n" for name in files if ".dist-info/" not in name)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8"), "UPDATE_GOLDEN=1 writes the list anew"


def test_wheel_has_only_package_files(files: list[str]) -> None:
    assert {name.partition("/")[0].partition("-")[0] for name in files} == {"metalk8s_expand"}


def test_everything_of_the_tree_is_in(files: list[str]) -> None:
    served = {
        "_utils/metalk8s_expand/": "",
        "metalk8s_expand/": "srv/beside/metalk8s_expand/",
        "orchestrate/": "srv/salt/metalk8s/orchestrate/",
        "reactor/": "srv/salt/metalk8s/reactor/",
        "roles/": "srv/salt/metalk8s/roles/",
    }
    plugins = {
        f"_{kind}/": f"{kind}/" for kind in ("modules", "pillar", "roster", "runners", "states")
    }
    missing = []
    for source, target in {**served, **plugins}.items():
        for path in (ROOT / "salt" / source).rglob("*"):
            wanted = f"metalk8s_expand/{target}{path.relative_to(ROOT / 'salt' / source)}"
            if path.is_file() and "cache" not in str(path) and wanted not in files:
                missing.append(wanted)
    assert missing == []


def test_metadata_has_name_version_and_keywords(fields: Message) -> None:
    assert (fields["Name"], fields["Version"]) == ("metalk8s-expand", metalk8s_expand.__version__)
    assert fields["Summary"]
    assert "salt-extension" in fields["Keywords"].split(",")
    assert fields["Requires-Python"] == ">=3.10"


def test_metadata_has_readme_and_license(
    wheel: Path, files: list[str], fields: Message, metadata: str
) -> None:
    assert fields["Description-Content-Type"].startswith("text/markdown")
    assert metadata.endswith((ROOT / "README.md").read_text(encoding="utf-8").rstrip() + "\n")
    assert fields["License"] == "Apache-2.0"
    [name] = [name for name in files if name.rpartition("/")[2] == "LICENSE"]
    assert zipfile.ZipFile(wheel).read(name) == (ROOT / "LICENSE").read_bytes()


def test_metadata_links_are_labelled_as_those_of_metalk8s(fields: Message) -> None:
    links = [link.split(", ") for link in fields.get_all("Project-URL", [])]
    assert {label.split()[0] for label, _ in links} == {"MetalK8s"}
    assert all(url.startswith("https://") for _, url in links)


def test_metadata_names_dependencies_of_page(fields: Message) -> None:
    needed = {
        found.name
        for found in map(Requirement, fields.get_all("Requires-Dist", []))
        if found.marker is None
    }
    assert needed == {"salt", "pyyaml", "kubernetes"}
    page = (ROOT / "docs/reference/dependencies.rst").read_text(encoding="utf-8").lower()
    assert {name for name in needed if name not in page} == set()


def test_metadata_claims_pythons_that_page_names(fields: Message) -> None:
    prefix = "Programming Language :: Python :: 3."
    claimed = {
        found.removeprefix(prefix)
        for found in fields.get_all("Classifier", [])
        if found.startswith(prefix)
    }
    page = (ROOT / "docs/reference/versions.rst").read_text(encoding="utf-8")
    [tested] = re.findall(r"The tests run on .*?\n\n", page, re.DOTALL)
    assert claimed == set(re.findall(r"\b3\.(\d+)", tested))


def test_entry_points_lead_to_objects_of_wheel(wheel: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-c", ENTRY_POINTS, str(wheel)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    file = f"{wheel}/metalk8s_expand/loader.py"
    assert json.loads(ran.stdout) == [["salt.loader", "metalk8s_expand", True, file]]
