"""Build the Go programs of a cluster from their modules; go.sum pins every input byte."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metalk8s_lab.builders import golang
from metalk8s_lab.builders.cache import cached, digest, file_digest
from metalk8s_lab.command import run
from metalk8s_lab.errors import LabError
from metalk8s_lab.progress import progress
from metalk8s_lab.settings import KUBERNETES_VERSION, LAB_DIR, Settings

_BUILD_SECONDS = 3600


@dataclass(frozen=True)
class Module:
    """A directory below lab/binaries with a go.mod, and its programs: name → package."""

    name: str
    programs: dict[str, str]
    ldflags: str = "-s -w"
    tags: str = ""
    cgo: bool = False

    @property
    def directory(self) -> Path:
        """The directory of its go.mod."""
        return LAB_DIR / "binaries" / self.name


def _kubernetes_ldflags(version: str) -> str:
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(
        [
            "-s -w",
            *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items()),
        ]
    )


_COMMANDS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
_ETCD = {name: f"go.etcd.io/etcd/{package}/v3" for name, package in
         {"etcd": "server", "etcdctl": "etcdctl", "etcdutl": "etcdutl"}.items()}  # fmt: skip
MODULES = (
    Module("pause", {"pause": "."}),
    Module(
        "flannel-cni", {"flannel": "github.com/containernetworking/plugins/plugins/meta/flannel"}
    ),
    Module("etcd", _ETCD),
    Module(
        "cri-tools",
        {"crictl": "sigs.k8s.io/cri-tools/cmd/crictl"},
        ldflags="-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=v1.34.0",
    ),
    Module("coredns", {"coredns": "github.com/coredns/coredns"}),
    Module(
        "flannel",
        {"flanneld": "github.com/flannel-io/flannel"},
        ldflags=(
            "-s -w -X github.com/flannel-io/flannel/pkg/version.Version=v0.26.7 -linkmode external"
            " -extldflags -static"
        ),
        # A static program must not look for the C library's resolver at run time.
        tags="netgo,osusergo",
        cgo=True,
    ),
    Module(
        "kubernetes",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in _COMMANDS},
        ldflags=_kubernetes_ldflags(KUBERNETES_VERSION),
    ),
)


class Builder:
    """Build modules with one toolchain; find the toolchain only when a build or a key needs it."""

    def __init__(self, settings: Settings) -> None:
        """Store the settings, which name the cache."""
        self._settings = settings

    @cached_property
    def _go(self) -> Path:
        return golang.find(self._settings)

    @cached_property
    def _go_version(self) -> str:
        return golang.version(self._go)

    def key(self, module: Module) -> str:
        """Return a digest of the input of a module's programs."""
        sources = {
            path.name: file_digest(path)
            for path in sorted(module.directory.iterdir())
            if path.is_file()
        }
        return digest(
            sources, module.programs, module.ldflags, module.tags, module.cgo, self._go_version
        )

    def build(self, module: Module) -> dict[str, Path]:
        """Build a module unless it is in the cache; return its programs by name."""
        place = self._settings.cache / "binaries" / f"{module.name}-{self.key(module)}"
        built = cached(
            place,
            f"building {module.name} from its Go module",
            lambda into: self._make(module, into),
        )
        return {name: built / name for name in module.programs}

    def _make(self, module: Module, into: Path) -> None:
        for name, package in module.programs.items():
            flags = ["-trimpath", "-tags", module.tags, "-ldflags", module.ldflags]
            argv = [str(self._go), "build", *flags, "-o", str(into / name), package]
            progress(f"go build {name}")
            run(
                argv,
                cwd=module.directory,
                env=golang.environment(self._go, cgo=module.cgo),
                timeout=_BUILD_SECONDS,
            )


def build(settings: Settings) -> dict[str, Path]:
    """Return all programs by name: the user's prebuilt ones, and the rest from their modules."""
    programs = prebuilt(settings.prebuilt)
    builder = Builder(settings)
    for module in MODULES:
        if not set(module.programs) <= set(programs):
            programs = {**builder.build(module), **programs}
    return programs


def prebuilt(directory: Path | None) -> dict[str, Path]:
    """Return the programs in the user's directory; raise ``LabError`` if it does not exist."""
    if directory is None:
        return {}
    if not directory.is_dir():
        raise LabError(f"KUBERNETES_BINARIES={directory}: there is no such directory")
    names = {name for module in MODULES for name in module.programs}
    return {
        path.name: path for path in directory.iterdir() if path.name in names and path.is_file()
    }
