"""A kube-apiserver on loopback, with the flags of the static Pod that the role writes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from metalk8s_expand.clients.kubernetes.objects import Kube
from metalk8s_expand.domain.etcd import quorum
from metalk8s_expand.domain.parsing import addresses
from tests.integration.daemons import Daemon, eventually
from tests.integration.etcd_host import Host
from tests.integration.pki import Authority, write_rsa_key

TEMPLATE = (
    Path(__file__).resolve().parents[2]
    / "salt"
    / "roles"
    / "master"
    / "files"
    / "kube-apiserver.yaml.j2"
)
# Advertised to the cluster but never used: the API refuses a loopback address here.
ADVERTISED = {"IPv4": "192.0.2.10", "IPv6": "2001:db8::10"}
SERVICES = {"IPv4": "10.96.0.0/12", "IPv6": "fd00:96::/112"}


class ApiServer:
    """An API server, its certificates below ``root``, and its kubeconfigs."""

    def __init__(self, host: Host, root: Path, audited: str = "") -> None:
        """Start the server; it logs the requests of the user ``audited`` in ``audit.log``."""
        self.root = root
        self._audited = audited
        self.programs = host.site.programs
        self.url = addresses.url("https", host.address, 6443)
        self._certificates(host)
        self._argv = [self.programs["kube-apiserver"], *self._flags(host.address)]
        self.start()
        self.admin = self.certified("admin")
        # The Salt master has no right until a test grants one.
        self.master = self.certified("metalk8s-expand")

    def certified(self, name: str) -> Path:
        """Write a kubeconfig with the certificate of this name and return its path."""
        path = self.root / "pki" / name
        return self.kubeconfig(
            name, {"client-certificate": f"{path}.crt", "client-key": f"{path}.key"}
        )

    def audit(self) -> list[dict[str, Any]]:
        """Return the answered requests of the audited user so far."""
        lines = (self.root / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def start(self) -> None:
        """Start the API server, for the first time or again."""
        self._daemon = Daemon(self._argv, self.root / "kube-apiserver.log")

    def kubeconfig(self, name: str, user: Mapping[str, str]) -> Path:
        """Write a kubeconfig with these credentials."""
        path = self.root / f"{name}.conf"
        cluster = {"server": self.url, "certificate-authority": str(self.root / "pki/ca.crt")}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": dict(user)}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl as an administrator."""
        argv = [
            str(self.programs["kubectl"]),
            f"--kubeconfig={self.admin}",
            f"--cache-dir={self.root / 'cache'}",
            *arguments,
        ]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    def wait(self) -> ApiServer:
        """Wait until the API server is ready."""
        kube = Kube.from_kubeconfig(str(self.admin))

        def ready() -> bool:
            assert self._daemon.exit_code() is None, self._daemon.tail()
            try:
                return kube.text("/readyz")[0] == 200
            except Exception:  # the server is not up yet
                return False

        eventually("kube-apiserver is ready", ready, 60)
        return self

    def stop(self) -> None:
        """Stop the API server."""
        self._daemon.stop()

    def _certificates(self, host: Host) -> None:
        pki = self.root / "pki"
        authority = Authority(pki / "ca.crt", "kubernetes-ca")
        authority.sign(pki / "apiserver", "kube-apiserver", sans=[host.address])
        authority.sign(
            pki / "apiserver-kubelet-client",
            "apiserver-kubelet-client",
            organization="system:masters",
        )
        authority.sign(pki / "admin", "admin", organization="system:masters")
        authority.sign(pki / "metalk8s-expand", "metalk8s-expand")
        Authority(pki / "front-proxy-ca.crt", "front-proxy-ca").sign(
            pki / "front-proxy-client", "front-proxy-client"
        )
        write_rsa_key(pki / "sa.key")
        (pki / "etcd").mkdir()
        shutil.copy(host.site.pki / "ca.crt", pki / "etcd" / "ca.crt")
        for end in ("crt", "key"):
            shutil.copy(host.site.pki / f"client.{end}", pki / f"apiserver-etcd-client.{end}")
        secret = base64.b64encode(b"0" * 32).decode()
        provider = {"secretbox": {"keys": [{"name": "key", "secret": secret}]}}
        resources = [{"resources": ["secrets"], "providers": [provider, {"identity": {}}]}]
        kind = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": resources,
        }
        (self.root / "encryption.conf").write_text(yaml.safe_dump(kind))

    def _flags(self, address: str) -> list[str]:
        context: dict[str, Any] = {
            "image": "none",
            "address": ADVERTISED[addresses.family(address)],
            "networks": {"service": SERVICES[addresses.family(address)]},
        }
        text = jinja2.Template(TEMPLATE.read_text()).render(context)
        command = yaml.safe_load(text)["spec"]["containers"][0]["command"]
        assert command[0] == "kube-apiserver"
        here = {
            "/etc/kubernetes": str(self.root),
            "https://127.0.0.1:2379": quorum.client_url(address),
        }
        flags = [*command[1:], f"--bind-address={address}"]
        for old, new in here.items():
            flags = [flag.replace(old, new) for flag in flags]
        return [*flags, *self._audit_flags()] if self._audited else flags

    def _audit_flags(self) -> list[str]:
        rules = [{"level": "Metadata", "users": [self._audited]}, {"level": "None"}]
        kind = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": rules,
        }
        policy = self.root / "audit.yaml"
        policy.write_text(yaml.safe_dump(kind))
        return [f"--audit-policy-file={policy}", f"--audit-log-path={self.root / 'audit.log'}"]
