"""Choose the kubeconfig with which the Salt master reaches the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metalk8s_expand.clients.kubernetes.objects import Kube

# The file of kubeadm and of a bootstrap node. MetalK8s does not mount it into its Salt master.
DEFAULT = "/etc/kubernetes/admin.conf"
OURS, SALTS = "metalk8s_expand:kubeconfig", "kubernetes.kubeconfig"


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig, its context (the current context if None), and the option that names it."""

    path: str
    context: str | None
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return the choice for JSON."""
        return {"path": self.path, "context": self.context, "source": self.source}

    def connect(self) -> Kube:
        """Return a client of the API. Raises UnreachableError if the file is not usable."""
        return Kube.from_kubeconfig(self.path, context=self.context)


def kubeconfig_of(opts: Mapping[str, Any]) -> Kubeconfig:
    """Return the kubeconfig of the master's configuration.

    The option of this project precedes ``kubernetes.kubeconfig``, which Salt's own Kubernetes
    modules read and which MetalK8s sets: https://docs.saltproject.io/en/latest/ref/modules/all/salt.modules.kubernetesmod.html
    """
    ours = opts.get("metalk8s_expand") or {}
    if ours.get("kubeconfig"):
        return Kubeconfig(str(ours["kubeconfig"]), _text(ours.get("context")), OURS)
    if opts.get(SALTS):
        return Kubeconfig(str(opts[SALTS]), _text(opts.get("kubernetes.context")), SALTS)
    return Kubeconfig(DEFAULT, None, "the default")


def _text(value: Any) -> str | None:
    return str(value) if value else None
