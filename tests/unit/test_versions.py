"""The versions of Salt are pinned in several files; here they agree with each other and with the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERIES = {
    "3006": "requirements-3006.txt",
    "3007": "requirements-3007.txt",
    "3008": "requirements.txt",
}
ON_THE_LAB = ("3006", "3008")


def pins(path: Path) -> dict[str, str]:
    return dict(line.split("==") for line in path.read_text().splitlines() if "==" in line)


def newest(series: str) -> str:
    return pins(ROOT / "tests" / SERIES[series])["salt"]


@pytest.mark.parametrize("series", SERIES)
def test_requirements_file_pins_salt_version_of_page(series: str) -> None:
    assert newest(series).startswith(f"{series}.")
    assert f"* - {newest(series)}\n" in (ROOT / "docs" / "reference" / "versions.rst").read_text()


@pytest.mark.parametrize("series", ON_THE_LAB)
def test_the_lab_has_the_salt_that_is_tested(series: str) -> None:
    assert pins(ROOT / "lab" / "salt" / f"constraints-{newest(series)}.txt")["salt"] == newest(
        series
    )
    assert newest(series) in (ROOT / "docs" / "lab.rst").read_text()


def test_pinned_series_match_supported_series() -> None:
    assert {path.name for path in (ROOT / "tests").glob("requirements*")} == set(SERIES.values())
    assert {path.stem for path in (ROOT / "lab" / "salt").iterdir()} == {
        f"constraints-{newest(series)}" for series in ON_THE_LAB
    }
    [lowest, above] = re.findall(r"salt>=(\d+),<(\d+)", (ROOT / "setup.cfg").read_text())[0]
    assert [str(series) for series in range(int(lowest), int(above))] == list(SERIES)


@pytest.mark.parametrize("tool", ["pytest", "hypothesis", "kubernetes"])
def test_all_are_tested_by_the_same_tools(tool: str) -> None:
    assert len({pins(ROOT / "tests" / name)[tool] for name in SERIES.values()}) == 1
