"""The certificates of etcd's members and clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.certificates import local_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return local_pki(tmp_path_factory.mktemp("pki"), "etcd-ca")
