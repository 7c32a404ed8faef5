"""Checks of the host's operating system, architecture, Python, user, init system and clock."""

from __future__ import annotations

from collections.abc import Mapping

from metalk8s_expand.domain.preflight.checks.context import CheckContext
from metalk8s_expand.domain.preflight.checks.registry import WARNING, CheckFailure, check

# The first supported major version by ID of os-release.
SYSTEMS: Mapping[str, int] = {
    "debian": 12,
    "ubuntu": 22,
    "rhel": 8,
    "rocky": 8,
    "almalinux": 8,
    "centos": 8,
}
# The same of MetalK8s's own deployment, whose packages are those of these systems.
SYSTEMS_OF_METALK8S: Mapping[str, int] = {"rhel": 8, "rocky": 8}
ARCHITECTURES = ("x86_64", "aarch64")
# Salt's minion includes its own Python; the host's Python only has to run salt-ssh's thin.
MINIMUM_PYTHON = (3, 9)


@check
def os(host: CheckContext) -> CheckFailure | None:
    """Check that MetalK8s's deployment supports the operating system, or this project is tested on
    it.
    """
    system = host.fact("system")
    systems = SYSTEMS if host.lists is None else SYSTEMS_OF_METALK8S
    major = str(system["version"]).partition(".")[0]
    first = systems.get(system["id"])
    if first is not None and major.isdigit() and int(major) >= first:
        return None
    shown = f"{system['id'] or 'an unknown system'} {system['version'] or 'of unknown version'}"
    wanted = ", ".join(f"{name} {version}" for name, version in systems.items()) + ", or newer"
    return CheckFailure(
        shown,
        wanted,
        "use a supported system, or continue and check the first node closely",
        WARNING,
    )


@check
def architecture(host: CheckContext) -> CheckFailure | None:
    """Check that binaries for the host's architecture exist."""
    machine = host.fact("architecture")
    if machine in ARCHITECTURES:
        return None
    return CheckFailure(machine, " or ".join(ARCHITECTURES), "use another machine")


@check
def python(host: CheckContext) -> CheckFailure | None:
    """Check that the host's Python can run salt-ssh's thin."""
    version = tuple(host.fact("python"))
    if version >= MINIMUM_PYTHON:
        return None
    shown, wanted = ".".join(map(str, version)), ".".join(map(str, MINIMUM_PYTHON)) + " or newer"
    script = host.surroundings.pre_flight
    if script:
        remedy = f"nothing: {script} of the master installs one when salt-ssh connects"
        return CheckFailure(shown, wanted, remedy, WARNING)
    return CheckFailure(shown, wanted, "install a newer python3")


@check
def privilege(host: CheckContext) -> CheckFailure | None:
    """Check that the roster's user is root, by login or through sudo."""
    uid = host.fact("uid")
    if uid == 0:
        return None
    return CheckFailure(f"uid {uid}", "uid 0", "set ssh:sudo to true, or ssh:user to root")


@check
def systemd(host: CheckContext) -> CheckFailure | None:
    """Check that systemd manages the services of the host."""
    if host.fact("systemd"):
        return None
    return CheckFailure("another init system", "systemd", "use a host that runs systemd")


@check
def clock(host: CheckContext) -> CheckFailure | None:
    """Check that the host's clock is close to the master's and to the median of all hosts.

    Certificates and leases made on one host are then valid on the other.
    """
    limit, skew, median = host.thresholds.clock_skew_s, host.skew, host.census.median_skew
    among = 0.0 if median is None else skew - median
    # If most hosts differ from the master, a host that agrees with the master is not an outlier.
    is_outlier = median is not None and abs(median) <= limit < abs(among)
    if abs(skew) <= limit and not is_outlier:
        return None
    shown = f"{skew:+.1f} s from the master, {among:+.1f} s from the median of the hosts"
    remedy = "set up time synchronization on this host, or on the master if its clock is wrong"
    return CheckFailure(shown, f"at most {limit} s", remedy)
