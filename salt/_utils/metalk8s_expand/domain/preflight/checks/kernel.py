"""Checks of kernel features.

The deployment sets some sysctls itself. For those, the check tests only that no file reverts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import basename

from metalk8s_expand.domain.preflight.checks.context import CheckContext, FactUnknown
from metalk8s_expand.domain.preflight.checks.registry import WARNING, CheckFailure, check

# The deployment loads these modules, so they must be loadable.
MODULES = ("overlay", "br_netfilter", "nf_conntrack")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
# The deployment sets these in DEPLOYED_FILE. A file that the host applies later must not set other
# values.
DEPLOYED: Mapping[str, str] = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
}
DEPLOYED_FILE = "90-metalk8s.conf"
# MetalK8s sets one more, in a file that comes earlier.
DEPLOYED_BY_METALK8S: Mapping[str, str] = {
    **DEPLOYED,
    "net.bridge.bridge-nf-call-ip6tables": "1",
}
FILE_OF_METALK8S = "60-metalk8s.conf"
# The deployment does not set these. The kernel's defaults are enough; a host with lower values
# fails under load.
MINIMUM: Mapping[str, int] = {
    "fs.inotify.max_user_instances": 128,
    "fs.inotify.max_user_watches": 8_192,
    "kernel.pid_max": 32_768,
}
SYSCTLS = (*DEPLOYED_BY_METALK8S, *MINIMUM)


@check
def swap(host: CheckContext) -> CheckFailure | None:
    """Check that swap is off, so that memory limits hold.

    Swap is a warning, because a kubelet can be configured to accept it (failSwapOn).
    """
    if not host.fact("swap"):
        return None
    return CheckFailure("on", "off", "run swapoff --all, and remove swap from /etc/fstab", WARNING)


@check
def cgroups(host: CheckContext) -> CheckFailure | None:
    """Check that the cgroup controllers that the kubelet needs are enabled."""
    cgroup_facts = host.fact("cgroups")
    missing = [name for name in CONTROLLERS if name not in cgroup_facts["controllers"]]
    if not missing:
        return None
    remedy = "enable them on the kernel's command line (cgroup_enable=...) and reboot"
    return CheckFailure(
        f"version {cgroup_facts['version']} without {', '.join(missing)}",
        ", ".join(CONTROLLERS),
        remedy,
    )


@check
def kernel_modules(host: CheckContext) -> CheckFailure | None:
    """Check that each module is loaded, built in or loadable."""
    states = host.fact("modules")
    missing = [name for name in MODULES if states.get(name) == "missing"]
    if missing:
        remedy = (
            "reboot if the kernel was replaced; otherwise install the modules of the running kernel"
            " (uname -r)"
        )
        return CheckFailure(f"no {', '.join(missing)}", "loaded, built in or loadable", remedy)
    unknown = [name for name in MODULES if states.get(name) is None]
    if unknown:
        raise FactUnknown(
            f"the host has no list of kernel modules, so the state of {', '.join(unknown)} is"
            " unknown",
            "run modprobe on the host",
        )
    return None


@check
def sysctls(host: CheckContext) -> CheckFailure | None:
    """Check that no file reverts the deployment's sysctls at boot, and that no limit is low.

    A reverted value is an error. A low value alone is a warning.
    """
    undone = list(_undone(host))
    low = list(_low(host))
    if undone:
        file, values = _deployed(host)
        remedy = f"remove these lines: the file is applied after /etc/sysctl.d/{file}"
        wanted = ", ".join(f"{key} = {value}" for key, value in values.items())
        return CheckFailure("; ".join([*undone, *low]), wanted, remedy)
    if low:
        wanted = ", ".join(f"{key} >= {value}" for key, value in MINIMUM.items())
        return CheckFailure(
            "; ".join(low), wanted, "raise them with a file in /etc/sysctl.d", WARNING
        )
    return None


def _deployed(host: CheckContext) -> tuple[str, Mapping[str, str]]:
    """Return the file that the deployment writes, and its values."""
    if host.lists is None:
        return DEPLOYED_FILE, DEPLOYED
    return FILE_OF_METALK8S, DEPLOYED_BY_METALK8S


def _undone(host: CheckContext) -> Iterator[str]:
    file, values = _deployed(host)
    for path, key, value in host.fact("sysctl_files"):
        if basename(path) > file and value != values.get(key, value):
            yield f"{key} = {value} in {path}"


def _low(host: CheckContext) -> Iterator[str]:
    values = host.fact("sysctls")
    for key, minimum in MINIMUM.items():
        value = str(values.get(key) or "")
        if value.isdigit() and int(value) < minimum:
            yield f"{key} = {value}"
