"""Every cause of an SSH failure has a remedy and a row in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metalk8s_expand.domain.preflight.ssh_failures import REMEDIES, SSHFailure

PAGE = Path(__file__).resolve().parents[5] / "docs" / "troubleshooting" / "ssh.rst"


@pytest.mark.parametrize("cause", REMEDIES)
def test_remedy_of_cause_has_no_open_placeholder(cause: str) -> None:
    remedy = SSHFailure(cause, "x").remedy("h", 23, "me", "/k")
    assert remedy
    assert "{" not in remedy


def test_documentation_lists_exactly_the_causes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\.\. cause:: ([a-z-]+)$", text, re.M) == list(REMEDIES)
