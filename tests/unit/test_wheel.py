"""The wheel has exactly the files of a golden list: nothing of Salt's own package, nothing forgotten.

``UPDATE_GOLDEN=1`` rewrites the list.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests import extension

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden" / "wheel.txt"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return sorted(zipfile.ZipFile(extension.wheel(tmp_path_factory.mktemp("wheel"))).namelist())


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
