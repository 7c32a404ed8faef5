"""What runs the host: operating system, architecture, Python, init and clock."""

from __future__ import annotations

from collections.abc import Mapping

from metalk8s_expand.domain.preflight.checks.context import CheckContext
from metalk8s_expand.domain.preflight.checks.registry import WARNING, CheckFailure, check

# By ID of os-release, the first major version that is supported.
SYSTEMS: Mapping[str, int] = {
    "debian": 12,
    "ubuntu": 22,
    "rhel": 8,
    "rocky": 8,
    "almalinux": 8,
    "centos": 8,
}
ARCHITECTURES = ("x86_64", "aarch64")
# Salt's minion comes with its own Python; the host's only has to run salt-ssh's thin.
MINIMUM_PYTHON = (3, 9)


@check
def os(host: CheckContext) -> CheckFailure | None:
    """The system is one that this is tried on."""
    system = host.fact("system")
    major = str(system["version"]).partition(".")[0]
    first = SYSTEMS.get(system["id"])
    if first is not None and major.isdigit() and int(major) >= first:
        return None
    found = (
        f"{system['id'] or 'a system without a name'} {system['version'] or 'without a version'}"
    )
    wanted = ", ".join(f"{name} {version}" for name, version in SYSTEMS.items()) + ", or newer"
    return CheckFailure(
        found,
        wanted,
        "use a supported system, or go on and look closely at the first node",
        WARNING,
    )


@check
def architecture(host: CheckContext) -> CheckFailure | None:
    """There are binaries for this machine."""
    found = host.fact("architecture")
    if found in ARCHITECTURES:
        return None
    return CheckFailure(found, " or ".join(ARCHITECTURES), "use another machine")


@check
def python(host: CheckContext) -> CheckFailure | None:
    """The host's Python runs salt-ssh's thin."""
    version = tuple(host.fact("python"))
    if version >= MINIMUM_PYTHON:
        return None
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    return CheckFailure(
        ".".join(map(str, version)), f"{wanted} or newer", "install a newer python3"
    )


@check
def privilege(host: CheckContext) -> CheckFailure | None:
    """The user of the roster is root, by sudo or at once."""
    uid = host.fact("uid")
    if uid == 0:
        return None
    return CheckFailure(f"uid {uid}", "uid 0", "set ssh:sudo to true, or ssh:user to root")


@check
def systemd(host: CheckContext) -> CheckFailure | None:
    """Services can be run."""
    if host.fact("systemd"):
        return None
    return CheckFailure("another init", "systemd", "use a host that runs systemd")


@check
def clock(host: CheckContext) -> CheckFailure | None:
    """Certificates made on one host are valid on the other, and so are leases."""
    limit, skew, median = host.thresholds.clock_skew_s, host.skew, host.census.median_skew
    among = 0.0 if median is None else skew - median
    # Where most hosts differ from the master, those that do not are right.
    is_outlier = median is not None and abs(median) <= limit < abs(among)
    if abs(skew) <= limit and not is_outlier:
        return None
    found = f"{skew:+.1f} s from the master, {among:+.1f} s from the median of the hosts"
    remedy = (
        "set up time synchronisation: on this host, or on the master if it is the one that differs"
    )
    return CheckFailure(found, f"at most {limit} s", remedy)
