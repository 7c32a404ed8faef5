"""Checks of a host before its deployment."""

from salt.exceptions import CommandExecutionError


def node(conflicting_services=(), service_cidr=None, raises=True, **_kwargs):
    """Check that no conflicting service runs, and that a route leads to the Services."""
    problems = [
        f"the service {service} must be disabled"
        for service in conflicting_services
        if __salt__["service.status"](service)
    ]
    routes = __salt__["cmd.run_stdout"]("ip -4 route show default")
    if service_cidr and not routes and not __salt__["cmd.run_stdout"]("ip -4 route show"):
        problems.append(f"no route leads to {service_cidr}")
    if problems and raises:
        raise CommandExecutionError("; ".join(problems))
    return problems or True
