#!/bin/sh
""":"
# A bare Rocky 8 has platform-python alone; MetalK8s brings the Python of Salt.
for python in /usr/libexec/platform-python python3 /opt/saltstack/salt/bin/python3; do
    command -v "$python" >/dev/null 2>&1 && exec "$python" -I -B "$0" "$@"
done
echo "install: this host has no Python: dnf install python3, then run the same command again" >&2
exit 3
"""

# One file for every Python from 3.6, with the standard library only, since a bootstrap host has
# no more. The Salt master is asked and restarted through crictl, as MetalK8s's own scripts do.

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

DESCRIPTION = """\
Install metalk8s-expand into the Salt master of a MetalK8s bootstrap host, or upgrade it. The same
command adds the saltenv of a new MetalK8s. A second run changes nothing, and a run that was killed
is completed by the next.
"""
EPILOG = """\
exit codes: 0 success, or nothing to do; 1 a failure, run the same command again; 2 a wrong
argument; 3 this host, its MetalK8s or the archive does not meet the requirements, nothing was
changed; 5 a file was changed by another hand, nothing was changed; 7 a deadline expired; 9 the
restart would end work that runs now, nothing was changed
"""

# The container sees of its host /etc/salt and /var/cache/salt, and only the first is no cache.
BASE = "/etc/salt/metalk8s-expand"
RECORD = BASE + "/installed.json"
PILLAR = BASE + "/pillar"
TOP, DECLARATION = PILLAR + "/top.sls", PILLAR + "/metalk8s_expand.sls"
SAVED = BASE + "/saved"
INCOMING = BASE + "/.incoming"
MAIN, CONFIGURATIONS = "/etc/salt/master", "/etc/salt/master.d"
# Salt joins the lists of these files in the order of the names, so MetalK8s's directories, of
# 99-metalk8s-roots.conf, come first and are never lost.
CONFIGURATION = CONFIGURATIONS + "/zz-metalk8s-expand.conf"
HEADER = "# metalk8s-expand's ./install writes this file. Run it again after an archive of MetalK8s"
LOCK = "/run/metalk8s-expand-install.lock"
BOOTSTRAP, MANIFEST = "/etc/metalk8s/bootstrap.yaml", "/etc/kubernetes/manifests/salt-master.yaml"
# The master's snapshots of etcd: docs/guides/restore.rst.
DATA = "/var/cache/salt/metalk8s-expand"
KUBECONFIG = "/etc/kubernetes/admin.conf"
VERSION_LABEL = "metalk8s.scality.com/version"
SALTENV = re.compile(r"metalk8s-(\d+)\..*")
OLDEST_METALK8S, OLDEST_SALT, OLDEST_PYTHON = 134, (3006,), (3, 10)
CONTAINER = (
    "crictl", "ps", "--quiet", "--state", "Running",
    "--label", "io.kubernetes.pod.namespace=kube-system",
    "--label", "io.kubernetes.container.name=salt-master",
)  # fmt: skip
TREE = re.compile(r"\d[0-9A-Za-z.+-]*-[0-9a-f]{12}")

FAILED, WRONG_PLACE, CHANGED, DEADLINE, BUSY = 1, 3, 5, 7, 9
SHORT_S, START_S, ANSWER_S, SYNC_S, STATUS_S = 30, 60, 120, 600, 300
# The master may just have been restarted. Its minions connect again within a minute.
SYNC_ROUNDS = 3


class InstallError(Exception):
    """What prevents the installation: its problems, and the exit code."""

    def __init__(self, code: int, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.code = code
        self.problems = problems


class Options(NamedTuple):
    """The arguments of the command."""

    check: bool
    overwrite: bool
    timeout_s: int


class Bundle(NamedTuple):
    """An archive as tar has laid it out: its directory, and the digest of each file by its name."""

    directory: str
    version: str
    name: str
    files: Dict[str, str]


class Master(NamedTuple):
    """What Salt's master says about itself, without the configuration file of this project."""

    file_roots: Dict[str, List[str]]
    plugins: str
    version: str


class Record(NamedTuple):
    """What is installed. It outlives a run that was killed.

    ``files`` has the digests that this command has written, by path. ``restart`` is the container
    that has not read the configuration, ``minions`` says whether they have not been synced.
    """

    tree: str
    files: Dict[str, List[str]]
    restart: str
    minions: bool


class Work(NamedTuple):
    """What an installation changes. Empty where the host has it already."""

    place: bool
    create: Dict[str, str]
    configuration: str
    restart: bool
    sync: bool
    minions: bool
    remove: List[str]
    adopt: bool


class Host:
    """This host: its files, below ``root`` in tests, and its programs."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    @property
    def is_fake(self) -> bool:
        """Return whether a test has given another root."""
        return bool(self._root)

    def path(self, path: str) -> str:
        """Return where the path of the container and of the host is."""
        return self._root + path

    def read(self, path: str) -> Optional[str]:
        """Return the text of a file, or None if there is none."""
        try:
            with open(self.path(path), "rb") as file:
                return file.read().decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file, empty if there is none."""
        try:
            with open(self.path(path), "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def names(self, path: str) -> List[str]:
        """Return the sorted names in a directory, none if there is no directory."""
        try:
            return sorted(os.listdir(self.path(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Replace a file at once: a reader sees the old one or the new one, after a crash too."""
        place = self.path(path)
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        new = self.path(_unfinished(path))
        with open(new, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(new, mode)
        os.rename(new, place)
        _settle(os.path.dirname(place))

    def remove(self, path: str) -> None:
        """Remove a file, also one that a killed run has left unfinished."""
        for name in (_unfinished(path), path):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(self.path(name))
                _settle(os.path.dirname(self.path(name)))

    def run(self, argv: Sequence[str], timeout_s: int) -> Tuple[int, str, str]:
        """Run a program; return its exit code, output and errors. Its input is empty."""
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            return 127, "", "%s: %s" % (argv[0], error)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += b" (no answer within %d s)" % timeout_s
        return process.returncode, visible(out), visible(err).strip()


def main(argv: Sequence[str]) -> int:
    """Install, or uninstall; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="install",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="show what would be done")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that were changed by another hand; copies go to " + SAVED,
    )
    parser.add_argument(
        "--timeout", type=int, default=300, metavar="S", help="seconds for a restart (300)"
    )
    parser.add_argument("--root", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args(list(argv))
    if arguments.timeout < 1:
        parser.error("--timeout: write a number of seconds, at least 1")
    host = Host(arguments.root)
    options = Options(arguments.check, arguments.overwrite, arguments.timeout)
    os.umask(0o077)
    try:
        with lock(host):
            if arguments.uninstall:
                return uninstall(host, options)
            return install(host, options)
    except InstallError as error:
        for problem in error.problems:
            say("install: " + problem, sys.stderr)
        return error.code
    except OSError as error:
        say("install: %s: correct this, then run the same command again" % error, sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        say("install: interrupted: run the same command again to complete it", sys.stderr)
        return FAILED


def install(host: Host, options: Options) -> int:
    """Install the archive that this file is in, or complete or upgrade an installation."""
    bundle = read_bundle(os.path.dirname(os.path.abspath(__file__)))
    check_place(host)
    container = find_container(host)
    check_versions(host)
    record = read_record(host)
    check_handwritten(host, options)
    master = ask_master(host)
    check_wheel(host, master, record)
    configuration = configuration_text(bundle, master)
    check_changed(host, options, record, bundle, configuration)
    work = plan_install(host, bundle, master, record, configuration, container)
    if options.check or not any(work):
        show_work(bundle, work)
        return 0 if options.check else show_status(host)
    if work.restart:
        check_idle(host, master)
    record = widen(host, record, bundle, work, configuration)
    if work.place:
        place_tree(host, bundle)
    for path, text in work.create.items():
        say("writing %s" % path)
        host.write(path, text, 0o600)
    if work.configuration:
        record = configure(host, record, bundle, master, configuration)
    if work.restart:
        record = restart(host, options, record)
    elif work.sync or record.minions:
        # A run that was killed may have restarted it at this moment.
        await_master(host, options, "")
    if work.sync:
        sync_master(host, bundle, master)
    if record.minions:
        record = sync_minions(host, record, master)
    remove_files(host, record, work.remove)
    write_record(host, final_record(host, record, bundle, configuration))
    say("metalk8s-expand %s is installed. Declare the nodes in %s" % (bundle.version, DECLARATION))
    return show_status(host)


def uninstall(host: Host, options: Options) -> int:
    """Remove what the record lists. Files that were changed by another hand stay."""
    record = read_record(host)
    if not record.files:
        remove_directories(host)
        say("this command has installed no metalk8s-expand here: nothing to do")
        return 0
    check_place(host)
    container = find_container(host)
    master = ask_master(host)
    if changed(host, record, [CONFIGURATION]):
        refuse_changed(host, options, [CONFIGURATION])
    has_restart = host.read(CONFIGURATION) is not None or record.restart == container
    if options.check:
        show_removal(host, record, has_restart)
        return 0
    if has_restart:
        check_idle(host, master)
        record = unread(host, record)
        host.remove(CONFIGURATION)
        record = restart(host, options, record)
    else:
        await_master(host, options, "")
    if synced(host, master):
        sync_master(host, None, master)
    if record.minions:
        record = sync_minions(host, record, master)
    left = changed(host, record, sorted(record.files))
    remove_files(host, record, sorted(record.files))
    host.remove(RECORD)
    remove_directories(host)
    say("metalk8s-expand is uninstalled")
    for path in left:
        say("left: %s was changed by another hand" % path)
    for path in (BASE, DATA):
        if host.names(path):
            say("left: %s has files that this command has not written" % path)
    return 0


# The archive and the place


def read_bundle(directory: str) -> Bundle:
    """Return the archive's content, each file compared with the archive's own checksums."""
    host = Host("")
    sums = host.read(directory + "/SHA256SUMS")
    version = host.read(directory + "/VERSION")
    if sums is None or version is None:
        raise InstallError(
            WRONG_PLACE,
            "%s has no SHA256SUMS and VERSION: run install where tar has laid out the whole archive"
            % directory,
        )
    files = {}
    for line in sums.splitlines():
        digest, _, name = line.partition("  ")
        files[name] = digest
    wrong = [name for name in sorted(files) if host.digest(directory + "/" + name) != files[name]]
    if wrong:
        raise InstallError(
            WRONG_PLACE,
            "the archive in %s is damaged: %s: lay it out again with tar, and compare its SHA-256"
            % (directory, some(wrong)),
        )
    files["SHA256SUMS"] = hashlib.sha256(sums.encode("utf-8")).hexdigest()
    version = version.strip()
    # The content is part of the name: another content is another directory, also in one version.
    return Bundle(directory, version, "%s-%s" % (version, files["SHA256SUMS"][:12]), files)


def check_place(host: Host) -> None:
    """Refuse a host that is not a bootstrap host of MetalK8s, with all reasons."""
    problems = []
    if shutil.which("crictl") is None:
        problems.append("there is no program crictl, which MetalK8s installs on each node")
    for path in (BOOTSTRAP, MANIFEST):
        if host.read(path) is None:
            problems.append("there is no %s, which MetalK8s writes on its bootstrap host" % path)
    if problems:
        problems.append("nothing was changed: run ./install on the bootstrap host")
        raise InstallError(WRONG_PLACE, *problems)


def find_container(host: Host) -> str:
    """Return the ID of the running container of Salt's master. It may start at this moment."""
    deadline = time.monotonic() + (0.1 if host.is_fake else START_S)
    while True:
        code, out, err = host.run(CONTAINER, SHORT_S)
        names = out.split()
        if code == 0 and len(names) == 1:
            return names[0]
        if time.monotonic() > deadline:
            raise InstallError(
                WRONG_PLACE,
                "expected one running container salt-master, found %d%s: see crictl ps --all"
                % (len(names), ": " + err if err else ""),
            )
        pause(host)


def check_versions(host: Host) -> None:
    """Refuse an older MetalK8s, Salt or Python, with all reasons."""
    problems = []
    match = re.search(
        r"%s: *['\"]?((\d+)\.[^'\"\s]*)" % re.escape(VERSION_LABEL), host.read(MANIFEST) or ""
    )
    if match and int(match.group(2)) < OLDEST_METALK8S:
        problems.append("MetalK8s %s: at least %d is necessary" % (match.group(1), OLDEST_METALK8S))
    report = ask(host, ["--versions-report"], ANSWER_S)
    for program, oldest in (("Salt", OLDEST_SALT), ("Python", OLDEST_PYTHON)):
        found = re.search(r"^\s*%s:\s*(\d+(?:\.\d+)*)" % program, report, re.MULTILINE)
        if not found:
            problems.append("salt-run --versions-report of the master names no %s" % program)
        elif tuple(map(int, found.group(1).split("."))) < oldest:
            wanted = ".".join(map(str, oldest))
            problems.append(
                "the master has %s %s: at least %s is necessary" % (program, found.group(1), wanted)
            )
    if problems:
        problems.append("nothing was changed: upgrade MetalK8s first")
        raise InstallError(WRONG_PLACE, *problems)


def check_wheel(host: Host, master: Master, record: Record) -> None:
    """Refuse a second installation beside the wheel in the master's image."""
    if record.files or synced(host, master):
        return
    # An unknown function is a text, and no failure, to some versions of Salt.
    if isinstance(answer(host, ["metalk8s_expand.trees"]), dict):
        raise InstallError(
            WRONG_PLACE,
            "the master has metalk8s_expand already, without %s: remove the wheel from its image "
            "(pip uninstall metalk8s-expand), or the synced files from its saltenv" % RECORD,
        )


def check_handwritten(host: Host, options: Options) -> None:
    """Refuse a configuration file of this name that an operator has written, or put it aside."""
    text = host.read(CONFIGURATION)
    if text is None or text.startswith(HEADER):
        return
    refuse_changed(host, options, [CONFIGURATION])
    if not options.check:
        # Its directories are no longer those of the saltenv. A killed run leaves the copy.
        host.remove(CONFIGURATION)


def check_changed(
    host: Host, options: Options, record: Record, bundle: Bundle, configuration: str
) -> None:
    """Refuse to replace what another hand has written, except with --overwrite."""
    wrong = []
    for path, wanted in sorted(wanted_files(bundle, configuration).items()):
        digest = host.digest(path)
        if digest and digest != wanted and digest not in record.files.get(path, ()):
            wrong.append(path)
    if wrong:
        refuse_changed(host, options, wrong)


def refuse_changed(host: Host, options: Options, wrong: Sequence[str]) -> None:
    """Refuse files of another hand, or keep a copy of each."""
    if not options.overwrite:
        raise InstallError(
            CHANGED,
            "changed by another hand: %s" % some(wrong),
            "nothing was changed: move them away, or repeat the command with --overwrite, which "
            "keeps copies in %s" % SAVED,
        )
    if not options.check:
        for path in wrong:
            save(host, path)


def save(host: Host, path: str) -> None:
    """Keep a copy of a file that is replaced."""
    copy = "%s/%s" % (SAVED, path.strip("/").replace("/", "+"))
    say("keeping %s as %s" % (path, copy))
    host.write(copy, host.read(path) or "", 0o600)


# The plan


def plan_install(
    host: Host,
    bundle: Bundle,
    master: Master,
    record: Record,
    configuration: str,
    container: str,
) -> Work:
    """Compare the host with what the archive and MetalK8s's saltenvs need."""
    place = any(
        host.digest(tree_path(bundle.name, name)) != digest for name, digest in bundle.files.items()
    )
    # Their content belongs to the operator from the moment they are there.
    create = {}
    if host.read(TOP) is None:
        create[TOP] = top_text(str(configured(host, "id")))
    if host.read(DECLARATION) is None:
        create[DECLARATION] = DECLARATION_TEXT
    is_new = host.read(CONFIGURATION) != configuration
    wanted = wanted_files(bundle, configuration)
    remove = [
        path
        for path in sorted(record.files)
        if path not in wanted and TREE.match(path[len(BASE) + 1 :]) and host.digest(path)
    ]
    return Work(
        place=place,
        create=create,
        configuration=configuration if is_new else "",
        restart=is_new or record.restart == container,
        sync=is_new or bool(sync_problems(host, bundle, master)),
        minions=is_new or record.minions,
        remove=removable(host, record, remove),
        # A record that is lost, or of a run that was killed at its end.
        adopt=record != final_record(host, record, bundle, configuration),
    )


def wanted_files(bundle: Bundle, configuration: str) -> Dict[str, str]:
    """Return the digest of each file that an installation has, by path."""
    files = {tree_path(bundle.name, name): digest for name, digest in bundle.files.items()}
    files[CONFIGURATION] = text_digest(configuration)
    return files


def show_removal(host: Host, record: Record, has_restart: bool) -> None:
    """Print what an uninstallation would do."""
    paths = sorted(record.files)
    shown = []
    for path in removable(host, record, paths):
        tree = TREE.match(path[len(BASE) + 1 :])
        line = "would remove %s" % (tree_path(tree.group(0), "") if tree else path)
        if line not in shown:
            shown.append(line)
    lines = shown + [
        "would leave %s: it was changed by another hand" % path
        for path in changed(host, record, paths)
    ]
    if has_restart:
        lines.append("would restart the Salt master")
    lines.append("would sync master and minions, so that they have MetalK8s's modules only")
    say("\n".join(lines))


def show_work(bundle: Bundle, work: Work) -> None:
    """Print what an installation would do."""
    lines = []
    if work.place:
        lines.append("would write %s" % tree_path(bundle.name, ""))
    lines += ["would write %s" % path for path in work.create]
    if work.configuration:
        lines.append("would write %s:" % CONFIGURATION)
        lines += ["    " + line for line in work.configuration.splitlines()]
    if work.restart:
        lines.append("would restart the Salt master")
    if work.sync:
        lines.append("would sync the master")
    if work.minions:
        lines.append("would sync the minions")
    if work.remove:
        lines.append("would remove %d files of an earlier version" % len(work.remove))
    if work.adopt and not lines:
        lines.append("would write %s" % RECORD)
    if not lines:
        lines.append(
            "metalk8s-expand %s is installed as it must be: nothing to do" % bundle.version
        )
    say("\n".join(lines))


def configuration_text(bundle: Bundle, master: Master) -> str:
    """Return the master's configuration file, which adds the tree to MetalK8s's saltenvs."""
    environments = usable_saltenvs(master)
    if not environments:
        raise InstallError(
            WRONG_PLACE,
            "the master's file_roots have no saltenv metalk8s-%d or newer, only %s: nothing was "
            "changed" % (OLDEST_METALK8S, ", ".join(sorted(master.file_roots)) or "none"),
        )
    taken = [
        "%s of %s" % (directory, name)
        for name in sorted(master.file_roots)
        for directory in master.file_roots[name]
        if (directory + "/").startswith(BASE + "/")
    ]
    if taken:
        raise InstallError(
            CHANGED,
            "another file than %s names %s: remove it from the files in %s, nothing was changed"
            % (CONFIGURATION, some(taken), CONFIGURATIONS),
        )
    lines = [
        HEADER,
        "# was added. Salt adds these directories to those of the other files.",
        "file_roots:",
    ]
    for name in environments:
        lines += _yaml_list(name, tree_path(bundle.name, "salt"))
    lines += ["pillar_roots:", *_yaml_list("base", PILLAR)]
    return "\n".join(lines) + "\n"


def usable_saltenvs(master: Master) -> List[str]:
    """Return the saltenvs of MetalK8s whose minions can load the extension, the newest last."""
    names = []
    for name in master.file_roots:
        match = SALTENV.match(name)
        if match and int(match.group(1)) >= OLDEST_METALK8S:
            names.append(name)
    return sorted(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)[1:]])


def top_text(master_id: str) -> str:
    """Return the pillar's top file: the master alone gets the declaration."""
    return "base:\n  %s:\n    - metalk8s_expand\n" % json.dumps(master_id)


DECLARATION_TEXT = (
    """\
# The nodes to add to this cluster. Every key, with its default:
# %s/<version>/pillar/metalk8s_expand.sls
metalk8s_expand:
  nodes: {}
"""
    % BASE
)


def _yaml_list(name: str, value: str) -> List[str]:
    # A JSON string is a YAML string.
    return ["  %s:" % json.dumps(name), "    - %s" % json.dumps(value)]


# The record


def read_record(host: Host) -> Record:
    """Return what is installed. A record that is not readable is refused."""
    text = host.read(RECORD)
    if text is None:
        return Record("", {}, "", False)
    try:
        data = json.loads(text)
        files = {str(path): list(map(str, digests)) for path, digests in data["files"].items()}
        return Record(str(data["tree"]), files, str(data["restart"]), bool(data["minions"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallError(
            CHANGED, "%s is not as install writes it: %s: restore it" % (RECORD, error)
        ) from error


def write_record(host: Host, record: Record) -> None:
    """Store what is installed."""
    host.write(RECORD, json.dumps(dict(record._asdict()), indent=1, sort_keys=True) + "\n", 0o600)


def widen(host: Host, record: Record, bundle: Bundle, work: Work, configuration: str) -> Record:
    """Record each file before it is written: a run that is killed leaves none that is unknown."""
    files = {path: list(digests) for path, digests in record.files.items()}
    coming = wanted_files(bundle, configuration)
    coming.update({path: text_digest(text) for path, text in work.create.items()})
    for path, digest in coming.items():
        if digest not in files.setdefault(path, []):
            files[path].append(digest)
    wider = record._replace(
        tree=bundle.name, files=files, minions=record.minions or bool(work.configuration)
    )
    write_record(host, wider)
    return wider


def unread(host: Host, record: Record) -> Record:
    """Record that the container has not read the configuration, nor the minions their modules."""
    pending = record._replace(restart=find_container(host), minions=True)
    if pending != record:
        write_record(host, pending)
    return pending


def configure(
    host: Host, record: Record, bundle: Bundle, master: Master, configuration: str
) -> Record:
    """Write the master's configuration file. If Salt takes it otherwise, the old one returns."""
    say("writing %s" % CONFIGURATION)
    before = host.read(CONFIGURATION)
    pending = unread(host, record)
    host.write(CONFIGURATION, configuration)
    problem = effect_problem(host, bundle, master)
    if not problem:
        return pending
    if before is None:
        host.remove(CONFIGURATION)
    else:
        host.write(CONFIGURATION, before)
    write_record(host, record)
    raise InstallError(CHANGED, problem, "the file is as before: the master was not restarted")


def final_record(host: Host, record: Record, bundle: Bundle, configuration: str) -> Record:
    """Return the record of a complete installation: its files, and others that are still there."""
    files = {}
    for path, digests in record.files.items():
        digest = host.digest(path)
        if digest:
            files[path] = [digest] if digest in digests else digests
    for path, digest in wanted_files(bundle, configuration).items():
        files[path] = [digest]
    return Record(tree=bundle.name, files=files, restart="", minions=False)


def removable(host: Host, record: Record, paths: Sequence[str]) -> List[str]:
    """Return those of the files that are as this command has written them."""
    return [path for path in paths if host.digest(path) in record.files.get(path, ())]


def changed(host: Host, record: Record, paths: Sequence[str]) -> List[str]:
    """Return those of the files that are there, and are not as this command has written them."""
    mine = removable(host, record, paths)
    return [path for path in paths if host.digest(path) and path not in mine]


# The files


def tree_path(tree: str, name: str) -> str:
    """Return the path of a file of the archive, for host and container."""
    return "/".join(part for part in (BASE, tree, name) if part)


def place_tree(host: Host, bundle: Bundle) -> None:
    """Copy the archive below /etc/salt, complete or not at all."""
    target = tree_path(bundle.name, "")
    say("writing %s" % target)
    incoming = host.path(INCOMING)
    shutil.rmtree(incoming, ignore_errors=True)
    if os.path.isdir(host.path(target)):
        # A part of it is missing. The directory is in use, so it is completed in place.
        for name in sorted(bundle.files):
            if host.digest(target + "/" + name) != bundle.files[name]:
                mode = 0o755 if name == "install" else 0o644
                host.write(target + "/" + name, _content(bundle, name), mode)
        return
    for name in sorted(bundle.files):
        mode = 0o755 if name == "install" else 0o644
        host.write("%s/%s" % (INCOMING, name), _content(bundle, name), mode)
    os.rename(incoming, host.path(target))
    _settle(host.path(BASE))


def _content(bundle: Bundle, name: str) -> str:
    return Host("").read(bundle.directory + "/" + name) or ""


def remove_files(host: Host, record: Record, paths: Sequence[str]) -> None:
    """Remove files that are as this command has written them, and directories that get empty."""
    directories: Set[str] = set()
    for path in removable(host, record, paths):
        host.remove(path)
        parent = os.path.dirname(path)
        while len(parent) > len(BASE) and parent.startswith(BASE) and parent != PILLAR:
            directories.add(parent)
            parent = os.path.dirname(parent)
    shutil.rmtree(host.path(INCOMING), ignore_errors=True)
    for directory in sorted(directories, key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(host.path(directory))


def remove_directories(host: Host) -> None:
    """Remove the directories of the installation if they are empty."""
    for path in (PILLAR, BASE):
        with contextlib.suppress(OSError):
            os.rmdir(host.path(path))


def _unfinished(path: str) -> str:
    # No *.conf, so Salt does not read it.
    return "%s/.%s.unfinished" % os.path.split(path)


def _settle(directory: str) -> None:
    """Let the names of a directory reach the disk."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# The master


def salt(host: Host, argv: Sequence[str], timeout_s: int) -> Tuple[int, str, str]:
    """Run a command of Salt in the master's container."""
    container = find_container(host)
    return host.run(["crictl", "exec", container, *argv], timeout_s)


def salt_run(host: Host, arguments: Sequence[str], timeout_s: int) -> Tuple[int, str, str]:
    """Run a runner function in the master's container. Its output is JSON."""
    return salt(host, ["salt-run", "--log-level=quiet", "--out=json", *arguments], timeout_s)


def ask(host: Host, arguments: Sequence[str], timeout_s: int) -> str:
    """Return the output of a salt-run that must succeed."""
    code, out, err = salt_run(host, arguments, timeout_s)
    if code:
        raise InstallError(
            FAILED,
            "salt-run %s in the master's container ended with %d: %s"
            % (" ".join(arguments), code, last_line(out + "\n" + err)),
        )
    return out


def ask_master(host: Host) -> Master:
    """Return what the master's configuration says, without the directories of this project."""
    match = re.search(
        r"%s: *['\"]?([^'\"\s]+)" % re.escape(VERSION_LABEL), host.read(MANIFEST) or ""
    )
    return Master(
        file_roots=other_roots(host, configured(host, "file_roots")),
        plugins=str(configured(host, "extension_modules")),
        version=match.group(1) if match else "",
    )


def configured(host: Host, key: str) -> Any:
    """Return an option of the master's configuration, as Salt reads it from the files."""
    out = ask(host, ["config.get", key], ANSWER_S)
    try:
        return json.loads(out)
    except ValueError as error:
        raise InstallError(
            FAILED, "salt-run config.get %s printed no JSON: %s" % (key, last_line(out))
        ) from error


def other_roots(host: Host, value: Any) -> Dict[str, List[str]]:
    """Return the directories of each saltenv that other files give, in their order."""
    own = re.findall(r'^    - "(.*)"$', host.read(CONFIGURATION) or "", re.MULTILINE)
    roots = {}
    for name, paths in value.items() if isinstance(value, dict) else ():
        others = [str(path) for path in paths or () if path not in own]
        if others:
            roots[str(name)] = others
    return roots


def effect_problem(host: Host, bundle: Bundle, master: Master) -> str:
    """Return what Salt does not take from the configuration file, empty if it takes all."""
    after = configured(host, "file_roots")
    for name, others in sorted(master.file_roots.items()):
        wanted = list(others)
        if name in usable_saltenvs(master):
            wanted.append(tree_path(bundle.name, "salt"))
        if after.get(name) != wanted:
            return (
                "with %s Salt takes for the saltenv %s the directories %s, and %s are necessary: "
                "look for include and file_roots in %s and %s"
                % (CONFIGURATION, name, after.get(name), wanted, MAIN, CONFIGURATIONS)
            )
    return ""


def check_idle(host: Host, master: Master) -> None:
    """Refuse a restart that would end work: runners end with the container."""
    work = []
    for name in host.names("/proc"):
        if name.isdigit():
            line = (host.read("/proc/%s/cmdline" % name) or "").replace("\0", " ").strip()
            program = os.path.basename(line.split(" ")[0]) if line else ""
            # The readiness probe of MetalK8s's Pod is a salt-run event.send.
            if (
                re.search(r"(?:^|[ /])salt-(?:run|ssh) ", line)
                and program not in ("crictl", "kubectl")
                and "event.send" not in line
            ):
                work.append("process %s: %s" % (name, visible(line.encode())[:200]))
    if synced(host, master):
        data = answer(host, ["metalk8s_expand.status", "certificates=False"])
        if isinstance(data, dict) and data.get("now"):
            work.append("a run of metalk8s_expand: salt-run metalk8s_expand.status")
    jobs = answer(host, ["jobs.active"])
    if isinstance(jobs, dict):
        for job, entry in sorted(jobs.items()):
            if isinstance(entry, dict):
                work.append("job %s: %s" % (job, entry.get("Function", "")))
    if work:
        raise InstallError(
            BUSY,
            "the Salt master must be restarted, which would end: %s" % some(work),
            "nothing was changed: run the same command again when this has ended",
        )


def answer(host: Host, arguments: Sequence[str]) -> Any:
    """Return what a runner function says, None if it fails: an installation must be repairable."""
    code, out, _ = salt_run(host, arguments, ANSWER_S)
    try:
        return None if code else json.loads(out)
    except ValueError:
        return None


def restart(host: Host, options: Options, record: Record) -> Record:
    """End the container, and wait until the kubelet has started another that answers."""
    # A container that is there now may have read the files before the last was written.
    record = unread(host, record)
    container = record.restart
    say("restarting the Salt master")
    code, _, err = host.run(["crictl", "stop", "--timeout=30", container], SHORT_S + 60)
    reason = err if code else "the kubelet has started no other container"
    await_master(host, options, container, reason)
    record = record._replace(restart="")
    write_record(host, record)
    return record


def await_master(host: Host, options: Options, ended: str, reason: str = "") -> None:
    """Wait until a container, other than the one that was ended, answers a request."""
    deadline = time.monotonic() + options.timeout_s
    while time.monotonic() < deadline:
        names = host.run(CONTAINER, SHORT_S)[1].split()
        if len(names) == 1 and names[0] != ended:
            reason = answer_problem(host)
            if not reason:
                return
        pause(host)
    raise InstallError(
        DEADLINE,
        "the Salt master has not answered within %d s: %s: see crictl ps --all and crictl logs, "
        "then run the same command again" % (options.timeout_s, reason),
    )


def pause(host: Host) -> None:
    """Wait before the next look at the container."""
    time.sleep(0.05 if host.is_fake else 2)


def answer_problem(host: Host) -> str:
    """Return why the master does not answer a request, empty if it does."""
    # The request goes to the master's port and back; no minion has this name.
    code, out, err = salt(
        host,
        ["salt", "--log-level=quiet", "--async", "metalk8s-expand-install", "test.ping"],
        ANSWER_S,
    )
    if code == 0 or "No minions matched" in out + err:
        return ""
    return last_line(out + "\n" + err)


def sync_master(host: Host, bundle: Optional[Bundle], master: Master) -> None:
    """Let the master take its plugins from the saltenv, as MetalK8s does."""
    saltenv = master_saltenv(master)
    problems: List[str] = []
    for attempt in range(3):
        say("syncing the master from %s" % saltenv)
        # Else the master uses a list of files that is up to 20 s old.
        ask(host, ["fileserver.clear_file_list_cache", "saltenv=" + saltenv], ANSWER_S)
        ask(host, ["saltutil.sync_all", "saltenv=" + saltenv], SYNC_S)
        problems = sync_problems(host, bundle, master) if bundle else synced(host, master)
        if not problems:
            return
        time.sleep(0 if host.is_fake else 5 * attempt)
    raise InstallError(
        FAILED,
        "saltutil.sync_all saltenv=%s leaves %s other than it must be: run the same command again"
        % (saltenv, some(problems)),
    )


def master_saltenv(master: Master) -> str:
    """Return the saltenv from which MetalK8s syncs its master: that of the master's version."""
    own = "metalk8s-" + master.version
    if own in master.file_roots:
        return own
    names = usable_saltenvs(master)
    if not names:
        raise InstallError(
            WRONG_PLACE,
            "the master's file_roots have no saltenv metalk8s-%d or newer, so it cannot be synced: "
            "add the archive of MetalK8s, then run the same command again" % OLDEST_METALK8S,
        )
    return names[-1]


def sync_problems(host: Host, bundle: Bundle, master: Master) -> List[str]:
    """Return the plugins and library files that the master lacks or has in another version."""
    wrong = []
    for name, digest in sorted(bundle.files.items()):
        match = re.match(r"salt/_(.*)", name)
        if match and host.digest("%s/%s" % (master.plugins, match.group(1))) != digest:
            wrong.append("%s/%s" % (master.plugins, match.group(1)))
    return wrong


def synced(host: Host, master: Master) -> List[str]:
    """Return the places where the master has the extension by sync."""
    places = ("runners/metalk8s_expand.py", "utils/metalk8s_expand/__init__.py")
    paths = ["%s/%s" % (master.plugins, place) for place in places]
    return [path for path in paths if host.read(path) is not None]


def sync_minions(host: Host, record: Record, master: Master) -> Record:
    """Let the minions that answer take their modules now. MetalK8s syncs the others later."""
    for saltenv in usable_saltenvs(master):
        label = "%s=%s" % (VERSION_LABEL, saltenv[len("metalk8s-") :])
        code, out, err = host.run(
            ["kubectl", "--kubeconfig=" + KUBECONFIG, "get", "nodes", "--selector=" + label,
             "--output=name", "--request-timeout=20s"],
            SHORT_S,
        )  # fmt: skip
        names = [name.partition("/")[2] for name in out.split()]
        if code:
            say("note: the nodes of %s are unknown: %s" % (saltenv, last_line(err)))
        if code or not names:
            continue
        say("syncing the minions of %s" % saltenv)
        silent = names
        for _ in range(SYNC_ROUNDS):
            silent = unsynced(host, saltenv, silent)
            if not silent:
                break
        if silent:
            say(
                "note: no sync on %s; MetalK8s syncs them with its next state, or: salt --list %s "
                "saltutil.sync_all saltenv=%s" % (some(silent), ",".join(silent), saltenv)
            )
    record = record._replace(minions=False)
    write_record(host, record)
    return record


def unsynced(host: Host, saltenv: str, names: List[str]) -> List[str]:
    """Let these minions sync, and return those that have not."""
    _, out, _ = salt(
        host,
        ["salt", "--log-level=quiet", "--out=json", "--static", "--timeout=20", "--list",
         ",".join(names), "saltutil.sync_all", "saltenv=" + saltenv],
        SYNC_S,
    )  # fmt: skip
    try:
        answers = json.loads(out)
    except ValueError:
        answers = {}
    return [name for name in names if not isinstance(answers.get(name), dict)]


def show_status(host: Host) -> int:
    """Print what the extension says about the cluster; return its exit code."""
    code, out, err = salt(
        host, ["salt-run", "--log-level=quiet", "metalk8s_expand.status"], STATUS_S
    )
    say("\n$ salt-run metalk8s_expand.status\n" + (out or err).rstrip())
    if code:
        say("install: the extension is installed, and its status ended with %d" % code, sys.stderr)
    return FAILED if code else 0


# Text


def some(values: Sequence[str]) -> str:
    """Return the first of many values for a message."""
    few = ", ".join(values[:5])
    return few + (" and %d more" % (len(values) - 5) if len(values) > 5 else "")


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [
        line.strip()
        for line in text.splitlines()
        # crictl says only that the command in the container has failed.
        if line.strip() and "command terminated with exit code" not in line
    ]
    return lines[-1] if lines else "no output"


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def visible(data: bytes) -> str:
    """Return text in which control characters are spelled out."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text
    )


def say(text: str, stream: Any = None) -> None:
    """Print at once, also characters that the locale of the terminal does not have."""
    stream = stream or sys.stdout
    stream.flush()
    stream.buffer.write((text + "\n").encode("utf-8"))
    stream.buffer.flush()


@contextlib.contextmanager
def lock(host: Host) -> Iterator[None]:
    """Let one installation work at a time."""
    if os.geteuid() != 0 and not host.is_fake:
        raise InstallError(WRONG_PLACE, "only root can do this: run sudo ./install")
    place = host.path(LOCK)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InstallError(
                BUSY, "another install runs on this host: wait for its end"
            ) from error
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
