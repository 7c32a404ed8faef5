"""Remove the cluster from the host that the script runs on and print the changes as JSON. A second
call changes nothing.

The master sends the script to ``python3 -`` in one SSH call, like ``host_facts.py``. So it is one
file, uses only the standard library, and supports every Python from 3.6. Its only argument is the
request, with the mode: ``look`` inspects the host, ``withdraw`` stops the API server, ``retire``
resets the host. The script wipes only the paths listed below, never follows a symbolic link, and
never enters another mount.
"""

import sys

# As root, Python would write compiled modules into an installation that has none.
sys.dont_write_bytecode = True

import contextlib  # noqa: E402
import errno  # noqa: E402
import fcntl  # noqa: E402
import glob  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import signal  # noqa: E402
import stat  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402

# The mark separates the answer from other output of a login shell.
MARK = "metalk8s-expand-retire:"

CA_KEY = "/etc/kubernetes/pki/ca.key"
# The wipe keeps this file: a blank host must refuse jobs of an older run, too.
EPOCH = "/etc/metalk8s/expand-epoch"
TURN = "/run/metalk8s-expand-retire.lock"
MANIFESTS = "/etc/kubernetes/manifests"
API_SERVER, API_PORT = MANIFESTS + "/kube-apiserver.yaml", 6443
KUBELET_UNIT = "/etc/systemd/system/kubelet.service"
# The kubelet of MetalK8s has its flags here.
KUBELET_FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
MINION, MINION_DIRECTORY, MINION_ID = (
    "/etc/salt/minion",
    "/etc/salt/minion.d",
    "/etc/salt/minion_id",
)
MINION_OF_METALK8S = MINION_DIRECTORY + "/99-metalk8s.conf"
MASTER_KEY = "/etc/salt/pki/minion/minion_master.pub"
GRAINS = "/etc/salt/grains"
SUBNET = "/run/flannel/subnet.env"

# The kubelet first, or it would restart what is stopped; the minion last, since it identifies the
# node.
SERVICES = ("kubelet", "containerd", "apiserver-proxy", "salt-minion")
# Files that the role states of this project or of MetalK8s, or the programs they run, create on a
# host. Programs, packages, archives and logs stay, since they hold no cluster data. Volumes stay:
# nothing below /var/lib/metalk8s/storage is listed. Files that identify the node go last, so that
# the next call recognizes and continues an interrupted wipe. "*" stands for the rest of a name.
PATHS = (
    "/etc/kubernetes",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/etc/cni/net.d/10-flannel.conflist",
    "/etc/cni/net.d/10-calico.conflist",
    "/etc/cni/net.d/calico-kubeconfig",
    "/run/flannel",
    "/var/lib/calico",
    "/run/calico",
    "/run/nodeagent",
    "/var/lib/containerd",
    "/run/containerd",
    "/etc/containerd/config.toml",
    "/etc/crictl.yaml",
    "/etc/metalk8s/apiserver-proxy.cfg",
    "/etc/metalk8s/pki",
    "/var/lib/metalk8s/apiserver-proxy.conf",
    "/etc/modules-load.d/metalk8s.conf",
    "/etc/sysctl.d/60-metalk8s.conf",
    "/etc/sysctl.d/90-metalk8s.conf",
    "/etc/yum.repos.d/metalk8s-*.repo",
    "/etc/yum/vars/metalk8s_osmajorrelease",
    "/var/cache/salt/minion",
    "/run/salt/minion",
    "/etc/systemd/system/containerd.service.d/50-metalk8s.conf",
    "/etc/systemd/system/kubelet.service.d/09-standalone.conf",
    "/etc/systemd/system/kubelet.service.d/10-metalk8s.conf",
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/apiserver-proxy.service",
    "/etc/systemd/system/salt-minion.service",
    "/etc/salt/minion.d/_schedule.conf",
    "/etc/salt/minion.d/beacons.conf",
    "/etc/salt/minion_id",
    "/etc/salt/pki/minion",
    "/etc/salt/minion.d/99-metalk8s.conf",
    "/etc/systemd/system/kubelet.service",
    "/etc/salt/minion",
)
# Files that ``names`` reads. They stay if another path could not be wiped, so that the next run
# identifies the node.
IDENTITY = (MINION_ID, MINION_OF_METALK8S, KUBELET_UNIT, MINION)
# Packages of the cluster. MetalK8s installs them and locks their versions.
PACKAGES = (
    "containerd",
    "containerd.io",
    "cri-tools",
    "kubectl",
    "kubelet",
    "runc",
    "salt",
    "salt-minion",
)
VERSION_LOCKS = ("/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list")
# kubelet-0:1.34.7-150500.1.1.* for dnf, 0:kubelet-1.34.7-150500.1.1.* for yum.
VERSION_LOCK = re.compile(
    r"^(?:\d+:)?({})-(?:\d+:)?\d[^-\s]*-[^-\s]+\s*$".format("|".join(map(re.escape, PACKAGES)))
)
# An empty directory at these paths does not count as a trace.
DIRECTORIES = ("/var/lib/etcd", "/var/lib/kubelet", "/var/lib/containerd")
# Mounts below these paths (not at them) belong to the kubelet and the runtime.
UNMOUNT = (
    "/var/lib/kubelet/pods",
    "/var/lib/kubelet/plugins",
    "/var/lib/containerd/tmpmounts",
    "/run/containerd",
    "/run/calico",
)
NAMESPACES = "/run/netns/cni-"
INTERFACES = ("cni0", "flannel.1", "kube-ipvs0", "vxlan.calico")
CALICO = "/etc/cni/net.d/10-calico.conflist"
# The kernel makes this interface for IP-in-IP and never removes it.
TUNNEL = "tunl0"
# Chains, rules and sets of Calico and kube-proxy. The chains of the CNI plugin portmap are those of
# this network: Podman has such chains, too.
RULE = re.compile(r'^:(cali-|KUBE-)|(-A|-j|-g) (cali-|KUBE-)|--comment "?cali:')
POD_NETWORK = "k8s-pod-network"
PORT_CHAIN = re.compile(r"CNI-[\w-]+")
SET = re.compile(r"^cali\S*$", re.M)
# Of kube-proxy, flannel and the CNI plugin portmap.
TABLES = ("kube-proxy", "flannel-ipv4", "flannel-ipv6", "cni_hostport")
ENVIRONMENT = {
    "LC_ALL": "C",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
CTR = ("ctr", "--namespace", "k8s.io")
DEFAULTS = {
    "mode": "look",
    "node": "",
    "epoch": None,
    "master_key": "",
    "root": "",
    "seconds": 60,
    "grace": 5,
}


class Refused(Exception):
    """The host must not be changed further."""


class Host:
    """This host, its changes, the paths left and the failures, in order. ``root`` replaces /."""

    def __init__(self, request):
        self.request = dict(DEFAULTS, **request)
        self.root = self.request["root"]
        self.deadline = time.monotonic() + self.request["seconds"]
        self.changes = []
        # ``left`` is intended, ``failed`` is not.
        self.left = []
        self.failed = []

    def path(self, path):
        return self.root + path

    def read(self, path):
        """Return the text of a file, or an empty string."""
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as stream:
                return stream.read().strip()
        except OSError:
            return ""

    def exists(self, path):
        return os.path.lexists(self.path(path))

    def command(self, *arguments, **options):
        """Return (exit code, output) of a program; the code is 127 if it is missing, 124 if it
        hangs. ``text`` is its input.
        """
        seconds = options.get("seconds", 20)
        try:
            done = subprocess.run(
                arguments,
                input=options.get("text", "").encode("utf-8"),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, **ENVIRONMENT),
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError:
            return 127, arguments[0] + " does not exist"
        except subprocess.TimeoutExpired:
            return 124, arguments[0] + " did not end"
        return done.returncode, done.stdout.decode("utf-8", "replace").strip()

    def mounts(self):
        """Return every mount point, as the kernel names it."""
        points = []
        for row in self.read("/proc/self/mountinfo").splitlines():
            escaped = row.split()[4]
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), escaped)
            points.append(point)
        return points

    def processes(self, belongs):
        """Return the processes whose control groups and command line (as one text) ``belongs``
        accepts, never this one.
        """
        numbers = []
        for name in os.listdir(self.path("/proc")):
            if name.isdigit() and int(name) not in (os.getpid(), os.getppid(), 1):
                command = self.read(f"/proc/{name}/cmdline").replace("\0", " ")
                if belongs(self.read(f"/proc/{name}/cgroup"), command):
                    numbers.append(int(name))
        return numbers

    def until(self, holds, seconds):
        """Wait until the condition holds or the time is over. Return whether it holds."""
        end = min(time.monotonic() + seconds, self.deadline)
        while not holds():
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
        return True


# Inspection.


def look(host):
    """Return the identity of this host and the parts of a node that it holds."""
    return {
        "machine_id": host.read("/etc/machine-id"),
        "names": names(host),
        "master_key": host.read(MASTER_KEY),
        "authority": host.exists(CA_KEY),
        "api_server": host.exists(API_SERVER) or listens(host, API_PORT),
        "services": services(host),
        "traces": traces(host),
        "containers": len(containers(host)),
    }


def names(host):
    """Return the names of this host as a node and as a minion."""
    flags = host.read(KUBELET_UNIT) + "\n" + host.read(KUBELET_FLAGS)
    known = set(re.findall(r"--hostname-override[= ]([^\s\"'\\]+)", flags))
    texts = [host.read(MINION)]
    for path in sorted(glob.glob(host.path(MINION_DIRECTORY) + "/*.conf")):
        texts.append(host.read(path[len(host.root) :]))
    identifiers = re.findall(r"^id:\s*[\"']?([^\s\"'#]+)", "\n".join(texts), re.M)
    minion_id = identifiers[-1] if identifiers else host.read(MINION_ID)
    if minion_id:
        known.add(minion_id)
    return sorted(known)


def traces(host):
    """Return the paths from which a wipe would remove something."""
    mounts = mount_points(host)
    return [path for path in paths(host) if host.exists(path) and holds(host.path(path), mounts)]


def paths(host):
    """Return ``PATHS`` with each pattern replaced by the paths that match it."""
    listed = []
    for path in PATHS:
        if "*" in path:
            listed += [each[len(host.root) :] for each in sorted(glob.glob(host.path(path)))]
        else:
            listed.append(path)
    return listed


def holds(path, mounts):
    """Return whether a path holds more than mounts and empty directories (mount points or
    ``DIRECTORIES``).
    """
    if os.path.islink(path) or not os.path.isdir(path):
        return path not in mounts
    try:
        entries = [os.path.join(path, name) for name in os.listdir(path)]
    except OSError:
        return True
    if not entries:
        return path not in mounts and not path.endswith(DIRECTORIES)
    return any(each not in mounts and holds(each, mounts) for each in entries)


def mount_points(host):
    """Return every mount point as a path below ``root``."""
    points = set()
    for point in host.mounts():
        is_below = host.root and point.startswith(host.root)
        points.add(point if is_below else host.path(point))
    return points


def is_empty(path):
    try:
        return os.path.isdir(path) and not os.listdir(path)
    except OSError:
        return False


def services(host):
    """Return the services that run or that start at the next boot."""
    in_use = []
    for name in SERVICES:
        code, output = host.command(
            "systemctl", "show", "--property=ActiveState,UnitFileState", name + ".service"
        )
        values = {}
        if not code:
            values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        active = values.get("ActiveState", "inactive") not in ("inactive", "failed")
        if active or values.get("UnitFileState") in ("enabled", "enabled-runtime"):
            in_use.append(name)
    return in_use


def listens(host, port):
    """Return whether a process listens on a TCP port at any address."""
    rows = (host.read("/proc/net/tcp") + "\n" + host.read("/proc/net/tcp6")).splitlines()
    for row in rows:
        fields = row.split()
        if len(fields) > 3 and fields[3] == "0A" and fields[1].endswith(f":{port:04X}"):
            return True
    return False


def containers(host):
    """Return the containers of the runtime, an empty list while the runtime does not run."""
    code, output = host.command(*CTR, "containers", "list", "--quiet")
    return output.split() if code == 0 else []


# Admission.


def admit(host):
    """Refuse the host of the CA, the host of another node, and a run older than the last one on
    this host.
    """
    if host.exists(CA_KEY):
        raise Refused(f"{CA_KEY} exists: this host is the bootstrap node, which is never removed")
    known = names(host)
    if known and known != [host.request["node"]]:
        raise Refused("this host is {}, not {}".format(" and ".join(known), host.request["node"]))
    ours, theirs = (
        "".join(host.request["master_key"].split()),
        "".join(host.read(MASTER_KEY).split()),
    )
    if ours and theirs and ours != theirs:
        raise Refused(
            "the minion here has another Salt master: this host belongs to another cluster"
        )
    if not known and traces(host):
        raise Refused(
            "this host does not report the name {}, but it holds {}".format(
                host.request["node"], traces(host)[0]
            )
        )
    admit_epoch(host)


def admit_epoch(host):
    """Check the fencing epoch as ``minion/fence.py`` does. A call by hand has none and passes."""
    wanted = host.request["epoch"]
    if wanted is None:
        return
    path = host.path(EPOCH)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not host.until(lambda: locked(directory), 5):
            raise Refused(f"another process has locked {EPOCH} for 5 s")
        text = host.read(EPOCH)
        if text and not (text.isdigit() and int(text) <= wanted):
            raise Refused(
                f"this run has the epoch {wanted}, but a run with the epoch {text[:40]} has already"
                " changed this host"
            )
        if text != str(wanted):
            write(path, f"{wanted}\n")
            os.fsync(directory)
    finally:
        os.close(directory)


def locked(descriptor):
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write(path, text):
    """Write a file atomically, readable by root only."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)


# The API server stops before its etcd member is removed.


def withdraw(host):
    """Remove the API server's manifest and wait until no process serves its port."""
    if host.exists(API_SERVER):
        os.unlink(host.path(API_SERVER))
        host.changes.append("removed " + API_SERVER)
    closed = lambda: not listens(host, API_PORT)  # noqa: E731
    if closed():
        return
    if "kubelet" not in services(host) or not host.until(closed, host.request["seconds"] - 15):
        stop_containers(host, 'labels."io.kubernetes.container.name"==kube-apiserver')
    if not host.until(closed, 10):
        host.failed.append(f"a process still serves port {API_PORT}")
    else:
        host.changes.append("the API server has stopped")


def stop_containers(host, *filters):
    """Stop containers with SIGTERM, then SIGKILL, and delete them from the runtime."""
    code, output = host.command(*CTR, "containers", "list", "--quiet", *filters)
    chosen = output.split() if code == 0 else []
    for number in ("SIGTERM", "SIGKILL"):
        for name in running(host).intersection(chosen):
            host.command(*CTR, "tasks", "kill", "--signal", number, name)
        host.until(lambda: not running(host).intersection(chosen), host.request["grace"])
    for name in chosen:
        host.command(*CTR, "tasks", "delete", "--force", name)
        host.command(*CTR, "containers", "delete", name)
    if chosen:
        host.changes.append(f"removed {len(chosen)} containers")


def running(host):
    """Return the containers that have a process."""
    code, output = host.command(*CTR, "tasks", "list")
    rows = [line.split() for line in output.splitlines()] if code == 0 else []
    return {row[0] for row in rows if len(row) > 2 and row[2] in ("RUNNING", "PAUSED", "PAUSING")}


# The complete reset.


def retire(host):
    """Reset the host in an order in which no remaining part restarts a removed one."""
    network, calico = subnet(host), host.exists(CALICO)
    take_manifests(host)
    stop_service(host, "kubelet")
    stop_containers(host)
    for name in SERVICES[1:]:
        stop_service(host, name)
    end_processes(host)
    unmount(host)
    forget_network(host, network)
    if calico:
        forget_calico(host)
    forget_rules(host)
    unlock_versions(host)
    forget_grains(host)
    listed = paths(host)
    units = [path for path in listed if path.startswith("/etc/systemd/") and host.exists(path)]
    for path in listed:
        if not (host.failed and path in IDENTITY):
            wipe(host, path)
    if units:
        host.command("systemctl", "daemon-reload")
        host.command("systemctl", "reset-failed")
    name_packages(host)


def take_manifests(host):
    for path in sorted(glob.glob(host.path(MANIFESTS) + "/*")):
        if os.path.isfile(path):
            os.unlink(path)
            host.changes.append("removed " + path[len(host.root) :])


def stop_service(host, name):
    if name not in services(host):
        return
    code, output = host.command("systemctl", "disable", "--now", name + ".service", seconds=60)
    if code:
        host.failed.append(f"{name} did not stop: {output[-200:]}")
    else:
        host.changes.append("stopped and disabled " + name)


def is_ours(groups, command):
    """Return whether a process is of a Pod, or of a service whose child processes outlive it."""
    if "containerd-shim" in command.partition(" ")[0] and "k8s.io" in command:
        return True
    return "kubepods" in groups or any(f"/{name}.service" in groups for name in SERVICES)


def end_processes(host):
    """Kill the processes that outlived the runtime or were never known to it."""
    numbers = host.processes(is_ours)
    if not numbers:
        return
    for number in numbers:
        kill(number)

    def gone():
        for left in host.processes(is_ours):
            kill(left)
        return not host.processes(is_ours)

    if host.until(gone, 20):
        host.changes.append(f"killed {len(numbers)} processes")
    else:
        host.failed.append(f"these processes did not end after SIGKILL: {host.processes(is_ours)}")


def kill(number):
    with contextlib.suppress(OSError):
        os.kill(number, signal.SIGKILL)


def unmount(host):
    """Unmount the mounts of the kubelet and the runtime, deepest first. Their data is stored
    elsewhere and stays.
    """
    below = (*tuple(path + "/" for path in UNMOUNT), NAMESPACES)
    points = [point for point in host.mounts() if point.startswith(below)]
    for point in sorted(points, key=len, reverse=True):
        # Without --no-canonicalize, umount would stat the path and hang if a server is gone.
        code, output = host.command("umount", "--no-canonicalize", point)
        if code:
            code, output = host.command("umount", "--no-canonicalize", "--lazy", point)
        if code and point in host.mounts():
            host.failed.append(f"{point} is still mounted: {output[-200:]}")
        elif point.startswith(NAMESPACES):
            with contextlib.suppress(OSError):
                os.unlink(host.path(point))
    if points:
        host.changes.append(f"unmounted {len(points)} file systems")


# The node's network objects in the kernel.


def subnet(host):
    """Return the network of all Pods from flannel's file on this node."""
    network = re.search(r"^FLANNEL_NETWORK=([0-9./]+)$", host.read(SUBNET), re.M)
    return network.group(1) if network else ""


def forget_network(host, network):
    """Remove interfaces, routes to the Pods of other nodes, and the rules of Services."""
    for name in INTERFACES:
        if (
            host.exists("/sys/class/net/" + name)
            and host.command("ip", "link", "delete", name)[0] == 0
        ):
            host.changes.append("removed the interface " + name)
    if network:
        code, output = host.command("ip", "route", "show", "root", network)
        if code == 0 and output and host.command("ip", "route", "flush", "root", network)[0] == 0:
            host.changes.append(f"removed {len(output.splitlines())} routes to Pods")
    code, output = host.command("nft", "list", "tables")
    for family, name in re.findall(r"^table (\S+) (\S+)$", output if code == 0 else "", re.M):
        if name in TABLES and host.command("nft", "delete", "table", family, name)[0] == 0:
            host.changes.append(f"removed the table {family} {name}")


def forget_calico(host):
    """Remove Calico's routes to Pods, and the addresses of its tunnel."""
    code, output = host.command("ip", "route", "show", "proto", "bird")
    if code == 0 and output and host.command("ip", "route", "flush", "proto", "bird")[0] == 0:
        host.changes.append(f"removed {len(output.splitlines())} routes to Pods")
    code, output = host.command("ip", "-oneline", "address", "show", "dev", TUNNEL)
    if code == 0 and output and host.command("ip", "address", "flush", "dev", TUNNEL)[0] == 0:
        host.command("ip", "link", "set", TUNNEL, "down")
        host.changes.append("removed the addresses of the interface " + TUNNEL)


def forget_rules(host):
    """Remove the rules of the cluster from iptables, and keep all others."""
    for program in ("iptables", "ip6tables"):
        code, output = host.command(program + "-save")
        lines = output.splitlines() if code == 0 else []
        chains = port_chains(lines)
        kept = []
        for line in lines:
            if not (RULE.search(line) or chains.intersection(PORT_CHAIN.findall(line))):
                kept.append(line)
        if len(kept) == len(lines):
            continue
        text = "\n".join(kept) + "\n"
        code, output = host.command(program + "-restore", text=text)
        if code:
            host.failed.append(f"{program} keeps rules of the cluster: {output[-200:]}")
        else:
            host.changes.append(f"removed {len(lines) - len(kept)} rules of {program}")
    code, output = host.command("ipset", "list", "-name")
    for name in SET.findall(output if code == 0 else ""):
        if host.command("ipset", "destroy", name)[0] == 0:
            host.changes.append("removed the set " + name)


def port_chains(lines):
    """Return the chains that forward ports of the host to Pods of the cluster."""
    chains = set()
    for line in lines:
        if POD_NETWORK in line:
            chains.update(re.findall(r"-j (CNI-[\w-]+)", line))
    return chains


# The node's packages and files.


def unlock_versions(host):
    """Remove the version locks of the cluster's packages, with the comments above them."""
    for path in VERSION_LOCKS:
        kept, unlocked = [], []
        for line in lines_of(host, path):
            match = VERSION_LOCK.match(line)
            if not match:
                kept.append(line)
                continue
            unlocked.append(match.group(1))
            while kept and kept[-1].startswith("# Added lock"):
                kept.pop()
        if unlocked and rewrite(host, path, kept):
            host.changes.append("unlocked the versions of " + ", ".join(sorted(unlocked)))


def forget_grains(host):
    """Remove MetalK8s's grains, the block of the key ``metalk8s``, and keep all others."""
    kept, inside, removed = [], False, 0
    for line in lines_of(host, GRAINS):
        inside = line.startswith("metalk8s:") or (inside and line[:1] in (" ", "\n"))
        removed += inside
        if not inside:
            kept.append(line)
    if removed and rewrite(host, GRAINS, kept):
        host.changes.append("removed the grains metalk8s from " + GRAINS)


def name_packages(host):
    """Name the packages of the cluster that stay installed."""
    code, output = host.command("rpm", "--query", "--queryformat", "%{NAME}\\n", *PACKAGES)
    installed = [line for line in output.splitlines() if line in PACKAGES] if code != 127 else []
    if installed:
        names = " ".join(sorted(set(installed)))
        host.left.append(f"the packages {names}; to remove them: dnf remove {names}")


def lines_of(host, path):
    """Return the lines of a file with their ends, none if it does not exist."""
    try:
        with open(host.path(path), encoding="utf-8", errors="surrogateescape") as stream:
            return stream.readlines()
    except OSError:
        return []


def rewrite(host, path, lines):
    """Replace the lines of a file atomically and return whether it worked; owner and mode stay."""
    full = os.path.realpath(host.path(path))
    temporary = full + ".new"
    try:
        before = os.stat(full)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(lines)
            os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, full)
    except OSError as error:
        host.failed.append(f"{path}: {error.strerror}")
        return False
    return True


def wipe(host, path):
    """Remove a path and what is below it. Empty a mount point and keep it; do not enter mounts
    below it.
    """
    full = host.path(path)
    try:
        kind = os.lstat(full).st_mode
    except OSError:
        return
    mounts = mount_points(host)
    parent = os.path.realpath(os.path.dirname(full))
    real = os.path.join(parent, os.path.basename(full))
    removed: list[str] = []
    if not stat.S_ISDIR(kind):
        if stat.S_ISLNK(kind):
            host.left.append(f"{os.path.realpath(full)}, the target of the link {path}")
        take(host, real, mounts, removed, lambda: os.unlink(real))
    else:
        empty(host, real, mounts, removed)
        if real not in mounts and is_empty(real):
            take(host, real, mounts, removed, lambda: os.rmdir(real))
    if removed:
        host.changes.append("wiped " + path)


def empty(host, directory, mounts, removed):
    """Remove the contents of a directory by its descriptor, so that no process can swap in a link
    meanwhile.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        host.failed.append(f"{directory}: {error.strerror}")
        return
    try:
        clear(host, descriptor, directory, mounts, removed)
    finally:
        os.close(descriptor)


def clear(host, descriptor, directory, mounts, removed):
    device = os.fstat(descriptor).st_dev
    for name in sorted(os.listdir(descriptor)):
        path = os.path.join(directory, name)
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        # A file of an overlay may report the device of its layer, so compare only directories.
        if path in mounts or (is_directory and status.st_dev != device):
            host.left.append(f"{path} is a mount point")
        elif is_directory:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            try:
                clear(host, below, path, mounts, removed)
            finally:
                os.close(below)
            if is_empty(path):
                take(
                    host, path, mounts, removed, lambda name=name: os.rmdir(name, dir_fd=descriptor)
                )
        else:
            take(host, path, mounts, removed, lambda name=name: os.unlink(name, dir_fd=descriptor))


def take(host, path, mounts, removed, remove):
    """Remove one file or empty directory; record a failure in ``failed``."""
    if path in mounts:
        host.left.append(f"{path} is a mount point")
        return
    try:
        remove()
    except OSError as error:
        if error.errno != errno.ENOENT:
            host.failed.append(f"{path}: {error.strerror}")
    else:
        removed.append(path)


# Request and answer.


MODES = {"withdraw": withdraw, "retire": retire}


def work(host):
    """Execute the request and return the inspection, or changes, paths left, failures and the
    reason of a refusal.
    """
    if host.request["mode"] == "look":
        return look(host)
    refused = ""
    turn = os.open(host.path(TURN), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not host.until(lambda: locked(turn), host.request["seconds"] / 2.0):
            raise Refused("an earlier command is still running on this host")
        admit(host)
        MODES[host.request["mode"]](host)
    except Refused as reason:
        refused = str(reason)
    finally:
        os.close(turn)
    return {"changes": host.changes, "left": host.left, "failed": host.failed, "refused": refused}


def main(arguments):
    """Print one line."""
    print(MARK + json.dumps(work(Host(json.loads(arguments[0]) if arguments else {}))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
