"""Gather facts about the host that the script runs on and print them as JSON. Change nothing, leave
no files.

The master sends the script to ``python3 -`` in one SSH call. So it is one file, uses only the
standard library, and supports every Python from 3.6. Its only argument is the request, as JSON.
Each fact is gathered independently: a fact that cannot be determined is null, and a call that hangs
is abandoned at the deadline.
"""

import sys

# As root, Python would write compiled modules into an installation that has none.
sys.dont_write_bytecode = True

import errno  # noqa: E402
import fcntl  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import select  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

# The mark separates the answer from other output of a login shell.
MARK = "metalk8s-expand-probe:"

LONGEST_WINDOW = 60
DEFAULTS = {"seconds": 20, "timeout": 3, "window": 10}
MINION, MINION_DIRECTORY, MINION_ID = (
    "/etc/salt/minion",
    "/etc/salt/minion.d",
    "/etc/salt/minion_id",
)
MINION_KEY = "/etc/salt/pki/minion/minion.pub"
MASTER_KEY = "/etc/salt/pki/minion/minion_master.pub"
UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
# In order of precedence: a file hides files of the same name in later directories.
SYSCTL_DIRECTORIES = (
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
)
RPM_DATABASES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
# If the server is gone, a query for free space hangs forever.
NETWORK_FILESYSTEMS = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "9p",
    "afs",
    "fuse.glusterfs",
    "fuse.sshfs",
)
REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ETIMEDOUT: "no answer",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
}


class InspectedHost:
    """This host: its files, or the replacements in the request, and the deadline."""

    def __init__(self, request):
        self.request = dict(DEFAULTS, **request)
        self.sources = self.request.get("sources") or {}
        self.started = time.monotonic()
        self.deadline = self.started + self.request["seconds"]

    def path(self, path):
        """Return the real path; the nearest replaced directory or file decides."""
        replaced = [one for one in self.sources if path == one or path.startswith(one + "/")]
        if not replaced:
            return path
        nearest = max(replaced, key=len)
        return str(self.sources[nearest]) + path[len(nearest) :]

    def read(self, path):
        """Return the text of a file, or None."""
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as stream:
                return stream.read().strip()
        except OSError:
            return None

    def exists(self, path):
        return os.path.exists(self.path(path))

    def names(self, path):
        """Return the names in a directory, an empty list if it does not exist."""
        try:
            return sorted(os.listdir(self.path(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def asked(self, key):
        """Return a list of the request."""
        return self.request.get(key) or []


def attempt(look, *arguments):
    """Return the result of a function, or None if it fails: other facts must not suffer."""
    try:
        return look(*arguments)
    except Exception:
        return None


def parallel(works, until):
    """Return the result of each function by key, None for functions that do not end in time and are
    abandoned.
    """
    results = dict.fromkeys(works)

    def run(key):
        results[key] = attempt(works[key])

    threads = [threading.Thread(target=run, args=(key,), daemon=True) for key in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    return dict(results)


# The machine and its system.


def architecture(host):
    return host.sources.get("architecture") or os.uname().machine


def system(host):
    """Return ID and VERSION_ID of os-release."""
    text = host.read("/etc/os-release") or host.read("/usr/lib/os-release")
    if text is None:
        return None
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {
        "id": values.get("ID", "").strip("\"'"),
        "version": values.get("VERSION_ID", "").strip("\"'"),
    }


def hostname(host):
    return host.read("/proc/sys/kernel/hostname") or os.uname().nodename


def minion_id(host):
    """Return the minion ID of this host, or None: the last configured one, else the one that Salt
    has stored.
    """
    paths = [MINION]
    for name in host.names(MINION_DIRECTORY):
        if name.endswith(".conf"):
            paths.append(f"{MINION_DIRECTORY}/{name}")
    text = "\n".join(host.read(path) or "" for path in paths)
    identifiers = re.findall(r"^id:\s*[\"']?([^\s\"'#]+)", text, re.M)
    return identifiers[-1] if identifiers else host.read(MINION_ID) or None


def cpus(host):
    """Return the number of processors that are online."""
    online = host.read("/sys/devices/system/cpu/online")
    if not online:
        return os.cpu_count()
    ranges = [part.split("-") for part in online.split(",")]
    return sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)


def memory(host):
    """Return the memory in megabytes."""
    total = re.search(r"MemTotal:\s+(\d+) kB", host.read("/proc/meminfo") or "")
    return int(total.group(1)) // 1024 if total else None


def swap(host):
    return len(host.read("/proc/swaps").splitlines()) > 1


def cgroups(host):
    """Return the version of control groups and the available controllers."""
    unified = host.read("/sys/fs/cgroup/cgroup.controllers")
    if unified is not None:
        return {"version": 2, "controllers": unified.split()}
    controllers = []
    for line in host.read("/proc/cgroups").splitlines():
        fields = line.split()
        if not line.startswith("#") and fields[3] == "1":
            controllers.append(fields[0])
    return {"version": 1, "controllers": controllers}


def selinux(host):
    """Return the current mode of SELinux and the configured one for the next boot."""
    enforcing = host.read("/sys/fs/selinux/enforce")
    now = "enforcing" if enforcing == "1" else "permissive"
    if enforcing is None:
        now = "disabled"
    configured = re.search(r"^\s*SELINUX=(\w+)", host.read("/etc/selinux/config") or "", re.M)
    return {"mode": now, "configured": configured.group(1) if configured else ""}


# The kernel.


def modules(host):
    """Return loaded, builtin, loadable or missing for each kernel module, None if it is unknown."""
    release = host.read("/proc/sys/kernel/osrelease") or os.uname().release
    builtin = loadable = None
    for base in ("/lib/modules", "/usr/lib/modules"):
        loadable = host.read(f"{base}/{release}/modules.dep")
        if loadable is not None:
            builtin = host.read(f"{base}/{release}/modules.builtin")
            break
    loaded = {line.split()[0] for line in (host.read("/proc/modules") or "").splitlines()}
    for line in (host.read("/proc/filesystems") or "").splitlines():
        if line:
            loaded.add(line.split()[-1])
    # If only directories of other kernels exist, the running kernel was replaced and the host not
    # rebooted.
    replaced = any(host.names(place) for place in ("/lib/modules", "/usr/lib/modules"))
    frozen = host.read("/proc/sys/kernel/modules_disabled") == "1"

    def state(name):
        file = f"/{name}.ko"
        if name in loaded or host.exists("/sys/module/" + name) or evident(host, name):
            return "loaded"
        if file in (builtin or ""):
            return "builtin"
        if file in (loadable or ""):
            return "missing" if frozen else "loadable"
        return "missing" if loadable is not None or replaced else None

    return {name: state(name) for name in host.asked("modules")}


def evident(host, name):
    """Return whether a feature of the module exists: a built-in module without parameters shows
    nowhere else.
    """
    signs = {
        "br_netfilter": "/proc/sys/net/bridge",
        "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
    }
    return name in signs and host.exists(signs[name])


def sysctls(host):
    """Return the values of kernel settings, None for settings that the kernel does not have."""
    return {
        name: host.read("/proc/sys/" + name.replace(".", "/")) for name in host.asked("sysctls")
    }


def sysctl_files(host):
    """Return [file, setting, value] of each setting that files set at boot, in the order of
    application.
    """
    files: dict[str, str] = {}
    for directory in reversed(SYSCTL_DIRECTORIES):
        for name in host.names(directory):
            if name.endswith(".conf"):
                files[name] = directory + "/" + name
    settings = []
    for _, path in sorted(files.items()):
        for name, value in re.findall(r"^\s*-?([\w./-]+)\s*=\s*(\S+)", host.read(path) or "", re.M):
            if name.replace("/", ".") in host.asked("sysctls"):
                settings.append([path, name.replace("/", "."), value])
    return settings


# Addresses and ports.


def interfaces(host):
    """Return MAC and addresses of each network interface."""
    own: dict[str, list[str]] = {}
    for index, address in netlink_addresses():
        own.setdefault(socket.if_indextoname(index), []).append(address)
    return {
        name: {"mac": host.read(f"/sys/class/net/{name}/address") or "", "addresses": own[name]}
        for name in own
    }


def netlink_addresses():
    """Return (interface index, address) of all own addresses as the kernel lists them (rtnetlink,
    RTM_GETADDR).
    """
    pairs: list[tuple[int, str]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(2)
        # nlmsghdr with NLM_F_REQUEST | NLM_F_DUMP, then an ifaddrmsg of any family.
        kernel.send(struct.pack("=LHHLL8x", 24, 22, 0x301, 1, 0))
        while True:
            data = kernel.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=LH", data)
                if kind != 20:  # RTM_NEWADDR; else the end, or an error
                    return pairs
                pairs.extend(netlink_address(data[16:length]))
                data = data[(length + 3) & ~3 :]


def netlink_address(message):
    """Return the address of one ifaddrmsg: IFA_LOCAL, the local end of a point-to-point link, if
    present.
    """
    family, index = struct.unpack_from("=B3xL", message)
    attributes, at = {}, 8
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        attributes[kind] = message[at + 4 : at + length]
        at += (length + 3) & ~3
    packed = attributes.get(2) or attributes.get(1)
    return [(index, socket.inet_ntop(family, packed))] if packed else []


def addresses(host):
    return sorted({address for _, address in netlink_addresses()})


def listening(host):
    """Return the TCP ports that a process listens on."""
    ports: set[int] = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        # Select the few sockets in the state LISTEN among possibly thousands of connections: "sl:
        # ADDRESS:PORT REMOTE 0A".
        hexadecimal = re.findall(
            r"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A ", host.read(path) or "", re.M
        )
        ports.update(int(port, 16) for port in hexadecimal)
    return sorted(ports)


def listeners(host):
    """Return [address, port, process] of each socket that listens on a port of the request. The
    name of the process is empty if it is unknown.
    """
    wanted = set(host.asked("ports"))
    sockets = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (host.read(path) or "").splitlines() if wanted else ():
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == "0A" and int(port, 16) in wanted:
                sockets.append((unpacked(address), int(port, 16), fields[9]))
    names = processes_of(host, {inode for _, _, inode in sockets}) if sockets else {}
    return sorted([address, port, names.get(inode, "")] for address, port, inode in sockets)


def unpacked(address):
    """Return the address that /proc/net shows as hexadecimal words of this machine's byte order."""
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    packed = struct.pack(f"={len(words)}L", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def processes_of(host, inodes):
    """Return the names of the processes that have these sockets open, by inode."""
    names = {}
    for number in host.names("/proc"):
        if not number.isdigit():
            continue
        directory = host.path(f"/proc/{number}/fd")
        for link in attempt(os.listdir, directory) or ():
            target = attempt(os.readlink, directory + "/" + link) or ""
            inode = target[len("socket:[") : -1] if target.startswith("socket:[") else ""
            if inode in inodes:
                names[inode] = process_name(host, number)
    return names


def process_name(host, number):
    """Return the name of a process. The kernel keeps 15 characters, the command line has all."""
    name = host.read(f"/proc/{number}/comm") or ""
    program = os.path.basename((host.read(f"/proc/{number}/cmdline") or "").split("\0")[0])
    return program if len(name) >= 15 and program.startswith(name) else name


def route(host):
    """Return why an address has no route, else an empty string.

    Connecting a datagram socket queries the routing table and sends nothing.
    """
    address = host.request.get("route")
    if not address:
        return None
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((address, 9))
        except OSError as error:
            return reason(error)
    return ""


# Connectivity in both directions.


def knock(host, port, timeout):
    """Return why a TCP port cannot be reached, else an empty string."""
    try:
        # As bytes: for a str, Python would load its tables of international names.
        socket.create_connection((host.encode(), port), timeout).close()
    except OSError as error:
        return reason(error)
    return ""


def knock_until(host, port, until):
    """Return the same as ``knock``, retried until it succeeds or the time is up."""
    while True:
        problem = knock(host, port, max(0.2, min(1.0, until - time.monotonic())))
        if not problem or time.monotonic() + 0.1 > until:
            return problem
        time.sleep(0.1)


def reason(error):
    """Return the reason in words by error number, since system messages depend on the locale."""
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    if error.errno is None:
        return "no answer"
    return REASONS.get(error.errno) or code(error)


def code(error):
    """Return the name of a system error, such as ENOSPC."""
    return errno.errorcode.get(error.errno or 0, "EIO")


def place(target):
    """Return ``host:port``, with brackets around an IPv6 address, as the checks name it."""
    return ("[{}]:{}" if ":" in target[0] else "{}:{}").format(*target)


def connections(host):
    """Return why each ``address:port`` cannot be reached.

    Targets in ``retry`` are retried until the window ends, since their hosts listen only then, like
    this one.
    """
    timeout, window = host.request["timeout"], host.started + host.request["window"]
    works = {}
    for one in host.asked("connect"):
        works[place(one)] = lambda one=one: knock(one[0], one[1], timeout)
    for one in host.asked("retry"):
        works[place(one)] = lambda one=one: knock_until(one[0], one[1], window)
    until = max(host.started + 2 * timeout, window + 1 if host.asked("retry") else 0)
    return parallel(works, min(until, host.deadline - 0.2))


def connect_all(targets, window):
    """Try every (address, port) in parallel for ``window`` seconds. Return the reason of failure,
    or "".
    """
    until = time.monotonic() + max(0, min(float(window), LONGEST_WINDOW))
    places = {(str(address), int(port)) for address, port in targets}
    works = {place(one): lambda one=one: knock_until(one[0], one[1], until) for one in places}
    problems = parallel(works, until + 1)
    for key, problem in problems.items():
        if problem is None:
            problems[key] = "no answer"
    return problems


def listen(host):
    """Return for each port why this host cannot listen on it, and which peer addresses have
    connected.

    Listen until each peer has connected to every port or the window ends. Do not listen where an
    earlier run may start etcd.
    """
    request = host.request.get("listen")
    if not request:
        return None
    if minion_id(host) == host.request.get("node"):
        return {}
    answer = {str(port): {"problem": "", "heard": []} for port in request["ports"]}
    sockets = {}
    for port in request["ports"]:
        try:
            sockets[listener(request["address"], port)] = answer[str(port)]
        except OSError as error:
            answer[str(port)]["problem"] = code(error)
    hear(
        sockets,
        set(request["peers"]),
        min(host.started + host.request["window"], host.deadline - 0.2),
    )
    return answer


def listener(address, port):
    listening = socket.socket(family_of(address), socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(64)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def hear(sockets, peers, until):
    """Record the addresses that connect until all peers have connected or the time is up."""
    try:
        while (
            any(peers - set(port["heard"]) for port in sockets.values())
            and time.monotonic() < until
        ):
            for ready in select.select(
                list(sockets), [], [], max(0, min(0.5, until - time.monotonic()))
            )[0]:
                address = accepted(ready)
                if address and address not in sockets[ready]["heard"]:
                    sockets[ready]["heard"].append(address)
    finally:
        for one in sockets:
            one.close()


def accepted(listening):
    """Return the address of the client that connected, None if it has already disconnected."""
    try:
        connection, address = listening.accept()
    except OSError:
        return None
    connection.close()
    return address[0]


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def resolve(host):
    """Return why a name does not resolve, else an empty string; None after a timeout."""

    def ask(name):
        try:
            socket.getaddrinfo(name.encode(), None)
        except OSError as error:
            return reason(error)
        return ""

    until = min(host.started + 2 * host.request["timeout"], host.deadline - 0.2)
    return parallel({name: lambda name=name: ask(name) for name in host.asked("resolve")}, until)


def name_servers(host):
    """Return whether each name server of resolv.conf answers. The resolver uses the first three."""
    servers = re.findall(r"^\s*nameserver\s+(\S+)", host.read("/etc/resolv.conf") or "", re.M)[:3]
    timeout = host.request["timeout"] / 2.0
    works = {
        server: lambda server=server: answers(server, timeout) or answers(server, timeout)
        for server in servers
    }
    return parallel(works, min(host.started + 3 * timeout, host.deadline - 0.2))


def answers(server, timeout, port=53):
    """Return whether a name server answers a query for the root name servers, with any result."""
    question = struct.pack(">6H", 0x4D38, 0x0100, 1, 0, 0, 0) + b"\x00" + struct.pack(">2H", 2, 1)
    address = server.partition("%")[0]
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        try:
            asking.connect((address, port))
            asking.send(question)
            return asking.recv(512)[:2] == question[:2]
        except OSError:
            return False


# Disks.


def directories(host):
    """Return file system, free megabytes, free inodes and writability of each directory or its
    nearest parent.
    """
    mounts = mount_table(host)
    return {path: attempt(directory, nearest(path), mounts) for path in host.asked("directories")}


def nearest(path):
    """Return the path, or the nearest parent directory that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return os.path.realpath(path)


def mount_table(host):
    """Return (mount point, type, options) in the order of mounting."""
    rows = []
    for line in host.read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, others = left.split(), right.split()
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
        rows.append((point, others[0], fields[5].split(",") + others[-1].split(",")))
    return rows


def directory(path, mounts):
    above = []
    for row in mounts:
        if path == row[0] or path.startswith(row[0].rstrip("/") + "/"):
            above.append(row)
    # The later of two mounts at one path hides the earlier one.
    point, kind, options = max(above, key=lambda row: (len(row[0]), mounts.index(row)))
    answer = {"mount": point, "type": kind, "read_only": "ro" in options}
    if kind not in NETWORK_FILESYSTEMS:
        stat = os.statvfs(path)
        answer["free_mb"] = stat.f_bavail * stat.f_frsize // (1024 * 1024)
        # Some file systems create inodes on demand and report a count of zero.
        answer["free_inodes"] = stat.f_favail if stat.f_files else None
    if kind == "xfs":
        answer["ftype"] = attempt(xfs_ftype, path)
    return answer


def xfs_ftype(path):
    """Return whether an XFS keeps file types in directories (XFS_IOC_FSGEOMETRY_V1; xfs_info shows
    ftype).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        geometry = fcntl.ioctl(descriptor, 0x80705864, b"\0" * 112)
    finally:
        os.close(descriptor)
    return bool(struct.unpack_from("=L", geometry, 92)[0] & 0x10000)


def fsync(host):
    """Return the 99th percentile of 100 small synchronous writes, done as etcd writes its log."""
    request = host.request.get("fsync")
    if not request:
        return None
    place = nearest(request["path"])
    try:
        descriptor = nameless_file(place)
    except OSError as error:
        return {"path": place, "problem": code(error)}
    try:
        times = sorted(measured_writes(host, descriptor, request["writes"], request["seconds"]))
    except OSError as error:
        return {"path": place, "problem": code(error)}
    finally:
        os.close(descriptor)
    p99 = times[-(-len(times) * 99 // 100) - 1]
    return {"path": place, "problem": "", "writes": len(times), "p99_ms": round(p99 * 1000, 3)}


def nameless_file(directory):
    """Open a file that the kernel removes when it is closed, even if this script is killed."""
    try:
        return os.open(directory, os.O_RDWR | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    path = os.path.join(directory, f".metalk8s-expand-{os.getpid()}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return descriptor


def measured_writes(host, descriptor, writes, seconds):
    """Return the seconds of each write of 2300 bytes into preallocated space, as etcd writes its
    log.
    """
    block, extra = b"\0" * 2300, host.sources.get("fsync") or 0
    os.posix_fallocate(descriptor, 0, len(block) * writes)
    times: list[float] = []
    until = min(time.monotonic() + seconds, host.deadline - 0.2)
    while len(times) < writes and (not times or time.monotonic() < until):
        begun = time.perf_counter()
        os.write(descriptor, block)
        os.fdatasync(descriptor)
        time.sleep(extra) if extra else None
        times.append(time.perf_counter() - begun)
    return times


# Software, and remains of earlier software.


def packages(host):
    """Return which packages are installed, from dpkg's file and rpm's output; None without both."""
    names = host.asked("packages")
    status = host.read("/var/lib/dpkg/status")
    has_rpm = any(host.names(place) for place in RPM_DATABASES)
    if status is None and not has_rpm:
        return None
    installed = set()
    for paragraph in (status or "").split("\n\n"):
        name = paragraph.partition("\n")[0].replace("Package: ", "").strip()
        if name in names and re.search(r"^Status: \w+ \w+ installed$", paragraph, re.M):
            installed.add(name)
    if has_rpm:
        output = command(["rpm", "--query", "--queryformat", "%{NAME}\\n", *names])
        for name in output.splitlines():
            if name in names:
                installed.add(name)
    return sorted(installed)


def services(host):
    """Return for each installed service whether it runs and whether it starts at the next boot."""
    installed = []
    for name in host.asked("services"):
        if has_unit(host, name) and is_in_use(host, name):
            installed.append(name)
    if not installed:
        return {}
    show = ["systemctl", "show", "--property=Id,ActiveState,UnitFileState"]
    blocks = command(show + [name + ".service" for name in installed]).strip().split("\n\n")
    states = {}
    for index, name in enumerate(installed):
        values = dict(line.split("=", 1) for line in blocks[index].splitlines() if "=" in line)
        active = values["ActiveState"] in ("active", "activating", "reloading")
        states[name] = {
            "active": active,
            "enabled": values.get("UnitFileState") in ("enabled", "enabled-runtime"),
        }
    return states


def has_unit(host, name):
    return any(host.exists(f"{place}/{name}.service") for place in UNIT_DIRECTORIES)


def is_in_use(host, name):
    """Return whether a service has an effect: Ubuntu always starts ufw, which only its own file
    enables.
    """
    return (
        name != "ufw"
        or re.search(r"^ENABLED=yes", host.read("/etc/ufw/ufw.conf") or "", re.M) is not None
    )


def command(arguments, seconds=5):
    """Return the output of a command. It costs more than reading a file, so use it only without
    such a file.
    """
    import subprocess

    nothing, environment = subprocess.DEVNULL, dict(os.environ, LC_ALL="C")
    with subprocess.Popen(
        arguments, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, env=environment
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def leftovers(host):
    """Return the paths that are files or non-empty directories; ``/*`` stands for each file of a
    directory.
    """
    paths: list[str] = []
    for path in host.asked("leftovers"):
        if path.endswith("/*"):
            for name in host.names(path[:-2]):
                paths.append(path[:-1] + name)
        elif host.names(path) or os.path.isfile(host.path(path)):
            paths.append(path)
    return paths


# These run one after another and take milliseconds.
QUICK = {
    "python": lambda host: list(sys.version_info[:3]),
    "architecture": architecture,
    "system": system,
    "hostname": hostname,
    "uid": lambda host: os.geteuid(),
    "machine_id": lambda host: host.read("/etc/machine-id") or "",
    "product_uuid": lambda host: host.read("/sys/class/dmi/id/product_uuid"),
    "interfaces": interfaces,
    "addresses": addresses,
    "route": route,
    "cpus": cpus,
    "memory_mb": memory,
    "swap": swap,
    "systemd": lambda host: host.exists("/run/systemd/system"),
    "cgroups": cgroups,
    "modules": modules,
    "sysctls": sysctls,
    "sysctl_files": sysctl_files,
    "selinux": selinux,
    "directories": directories,
    "leftovers": leftovers,
    "minion_id": minion_id,
    "minion_key": lambda host: host.read(MINION_KEY),
    "master_key": lambda host: host.read(MASTER_KEY),
}
# These wait for a disk, a process or the network, so they run in parallel.
SLOW = {
    "connections": connections,
    "listen": listen,
    "resolve": resolve,
    "name_servers": name_servers,
    "fsync": fsync,
    "packages": packages,
    "services": services,
}


def facts(request):
    """Return all facts within ``request["seconds"]``; read the clock last, right before the answer
    is sent.
    """
    host = InspectedHost(request)
    # Read the ports before this script itself listens.
    gathered = dict.fromkeys(QUICK, None)
    gathered["ports"] = attempt(listening, host)
    gathered["listeners"] = attempt(listeners, host)

    def quick():
        for name, look in QUICK.items():
            gathered[name] = attempt(look, host)

    works = {name: lambda look=look: look(host) for name, look in SLOW.items()}
    slow = parallel(dict(works, quick=quick), host.deadline)
    del slow["quick"]
    elapsed = round(time.monotonic() - host.started, 3)
    now = time.time() + (host.sources.get("clock") or 0)
    return dict(gathered, elapsed=elapsed, time=now, **slow)


def answer(text, mark=MARK):
    """Return the answer of a script with this mark from its output, None if no line has it.

    The sender of the script calls this function.
    """
    lines = [line for line in text.splitlines() if line.startswith(mark)]
    try:
        document = json.loads(lines[-1][len(mark) :]) if lines else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def main(arguments):
    """Print one line and exit without waiting for threads that hang."""
    print(MARK + json.dumps(facts(json.loads(arguments[0]) if arguments else {})), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
