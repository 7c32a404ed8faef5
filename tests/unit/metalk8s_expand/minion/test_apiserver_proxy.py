"""The API servers that an API proxy lists, from its configuration."""

from __future__ import annotations

from pathlib import Path

from metalk8s_expand.minion.apiserver_proxy import servers

TEXT = """listen apiserver
    bind 127.0.0.1:7443
    default-server check check-ssl verify required ca-file /etc/kubernetes/pki/ca.crt inter 1s
    server bootstrap 10.200.0.10:6443
    server cp-1 [fd00:200::11]:6443
"""


def test_servers_are_returned_by_name(tmp_path: Path) -> None:
    (tmp_path / "proxy.cfg").write_text(TEXT)
    assert servers(str(tmp_path / "proxy.cfg")) == {
        "bootstrap": "10.200.0.10:6443",
        "cp-1": "[fd00:200::11]:6443",
    }


def test_host_without_proxy_lists_no_server(tmp_path: Path) -> None:
    assert servers(str(tmp_path / "proxy.cfg")) == {}
