"""The state of a node's certificates, as Salt sees it."""

from __future__ import annotations

from typing import Any

import pytest

from metalk8s_expand.minion import certificates
from tests import extension

PATHS = {"kubelet-server": "/etc/kubernetes/pki/kubelet-server"}


class Node:
    """A kubelet that serves what it has read when it was started."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.asked: list[Any] = []

    def observed(self, *asked: Any, clock: Any) -> dict[str, Any]:
        self.asked.append(asked)
        served = {"port": 10250, "serial": self.serial, "not_after": "2026-01-01T00:00:00Z"}
        return {"kubelet-server": {"path": "/x.crt", "serial": "new", "served": served}}

    def restart(self, unit: str) -> bool:
        assert unit == "kubelet"
        self.serial = "new"
        return True


def apply(node: Node, monkeypatch: pytest.MonkeyPatch, test: bool) -> dict[str, Any]:
    module = extension.load("states", "metalk8s_expand_certificates")
    assert module.__virtual__() == "metalk8s_expand_certificates"
    module.__opts__, module.__salt__ = {"test": test}, {"service.restart": node.restart}
    monkeypatch.setattr(certificates, "observed", node.observed)
    found: dict[str, Any] = module.served("w-1", PATHS, "10.0.0.3")
    return found


@pytest.mark.parametrize(
    ("serial", "test", "result", "changes"),
    [
        ("old", False, True, {"kubelet": "restarted"}),
        ("old", True, None, {"kubelet": "restarted"}),
        ("new", False, True, {}),
        ("new", True, True, {}),
    ],
)
def test_served(
    monkeypatch: pytest.MonkeyPatch,
    serial: str,
    test: bool,
    result: bool | None,
    changes: dict[str, str],
) -> None:
    node = Node(serial)
    found = apply(node, monkeypatch, test)
    assert (found["result"], found["changes"]) == (result, changes)
    assert node.serial == (serial if test else "new")
    assert set(map(str, node.asked)) == {str((PATHS, "10.0.0.3"))}
