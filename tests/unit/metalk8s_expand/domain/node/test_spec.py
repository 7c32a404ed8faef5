"""Properties of a node that follow from its roles."""

from __future__ import annotations

import pytest

from metalk8s_expand.domain.node.spec import Node


@pytest.mark.parametrize(
    ("roles", "control_plane", "etcd", "master"),
    [
        (("master", "etcd"), True, True, True),
        (("etcd",), True, True, False),
        (("master",), True, False, True),
        (("node",), False, False, False),
    ],
)
def test_roles_of_node_set_its_properties(
    roles: tuple[str, ...], control_plane: bool, etcd: bool, master: bool
) -> None:
    node = Node("n", "1", roles, ())
    assert (node.is_control_plane, node.is_etcd, node.is_master) == (control_plane, etcd, master)
