"""Install Salt's minion on the host that the script runs on, and print the public key of the minion
as JSON. A second call changes nothing.

The master sends the script to ``python3 -`` in one SSH call, like ``host_facts.py``. So it is one
file, uses only the standard library, and supports every Python from 3.6. Its only argument is a
mode: ``install`` leaves a new minion stopped, until the master has accepted its key; ``start``
starts it. The master puts the request before the script, as the variable REQUEST.
"""

import sys

# As root, Python would write compiled modules into an installation that has none.
sys.dont_write_bytecode = True

import base64  # noqa: E402
import contextlib  # noqa: E402
import hashlib  # noqa: E402
import http.client  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import stat  # noqa: E402
import subprocess  # noqa: E402
import tarfile  # noqa: E402
import tempfile  # noqa: E402
import urllib.request  # noqa: E402

# The mark separates the answer from other output of a login shell.
MARK = "metalk8s-expand-minion:"
CACHE = "/var/cache/metalk8s"
UNIT = "salt-minion"
KEYS = "/etc/salt/pki/minion"
PYTHON = "/opt/salt/bin/python3"
EXTENSION_MODULES = "/var/cache/salt/minion/extmods"
MODULES_MARKER = EXTENSION_MODULES + "/.metalk8s-expand"
MASTER_KEY = KEYS + "/minion_master.pub"
CHUNK = 1 << 20
FETCH_S = 60

# Made by the Salt that uses it, so that the key is as Salt itself makes it. Salt would make it only
# when it starts, and then wait until the master has accepted it.
GENERATE = """
import sys
import salt.config, salt.crypt
opts = salt.config.minion_config("/etc/salt/minion")
make = getattr(salt.crypt, "write_keys", None) or salt.crypt.gen_keys
make(sys.argv[1], "minion", opts["keysize"])
"""


class Failed(Exception):
    """The host cannot be prepared; the text says why."""


def main(mode, request):
    """Run a mode and print its answer."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    try:
        if os.geteuid() != 0:
            raise Failed("the user is not root: set sudo for this node")
        answer = start() if mode == "start" else install(request)
    except (
        Failed, OSError, http.client.HTTPException, subprocess.SubprocessError, tarfile.TarError,
    ) as error:  # fmt: skip
        answer = {"error": str(error)}
    print(MARK + json.dumps(answer))


def install(request):
    """Install the minion, its configuration, the master's key and the modules.

    Return the public key, the changes, and whether the minion must be started or restarted.
    """
    changed = []
    pending = os.path.exists(restart_marker())
    # Written before the first change, and removed when the minion has started again: a call after
    # a killed one finds no difference, but an older minion.
    write(restart_marker(), b"", 0o644)
    archive = request["archive"]
    if unpack(archive["url"], archive["sha256"], "salt-minion.tar"):
        changed.append("salt-minion.tar")
    for path, file in sorted(request["files"].items()):
        if write(path, file["content"].encode(), file["mode"]):
            changed.append(path)
    if write_modules(request["modules"]):
        changed.append(EXTENSION_MODULES)
    if make_key():
        changed.append(KEYS + "/minion.pem")
    with open(KEYS + "/minion.pub") as file:
        public_key = file.read()
    if not changed and not pending:
        os.unlink(restart_marker())
    return {
        "public_key": public_key,
        "changed": changed,
        "start": os.path.exists(restart_marker()) or not is_running(),
    }


def start():
    """Start the minion, or restart one whose files have changed."""
    command(["systemctl", "daemon-reload"])
    command(["systemctl", "enable", "--quiet", UNIT])
    command(["systemctl", "restart", UNIT])
    if os.path.exists(restart_marker()):
        os.unlink(restart_marker())
    return {"started": True}


def restart_marker():
    """Return the path of the file that exists while the minion runs with older files."""
    return CACHE + "/salt-minion.changed"


def is_running():
    """Return whether the minion's unit is active."""
    return subprocess.call(["systemctl", "is-active", "--quiet", UNIT]) == 0


def make_key():
    """Create the minion's key unless there is one. Return whether one was made."""
    if os.path.exists(KEYS + "/minion.pem") and os.path.exists(KEYS + "/minion.pub"):
        return False
    os.makedirs(KEYS, mode=0o700, exist_ok=True)
    fresh = KEYS + "/.new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.mkdir(fresh, 0o700)
    command([PYTHON, "-c", GENERATE, fresh])
    # The private key comes last: Salt makes no public key for one that exists.
    for name in ("/minion.pub", "/minion.pem"):
        os.rename(fresh + name, KEYS + name)
    os.rmdir(fresh)
    return True


def write(path, content, mode):
    """Write a file unless it has this content and mode. Return whether it was written."""
    try:
        with open(path, "rb") as file:
            if file.read() == content and stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode:
                return False
    except OSError:
        pass
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, mode)
    os.rename(temporary, path)
    return True


def write_modules(packed):
    """Replace the minion's synchronized modules unless they are these. Return whether they differ.

    ``packed`` is a compressed tar archive in Base64.
    """
    digest = hashlib.sha256(packed.encode()).hexdigest()
    if read(MODULES_MARKER) == digest:
        return False
    fresh, old = EXTENSION_MODULES + ".new", EXTENSION_MODULES + ".old"
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    os.makedirs(fresh)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed)), mode="r:gz") as archive:
        for member in archive:
            # The master makes the archive from its own file server: plain files only.
            path = os.path.normpath(os.path.join(fresh, member.name))
            if not member.isfile() or not path.startswith(fresh + "/"):
                raise Failed("the archive of modules has the entry " + repr(member.name))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source = archive.extractfile(member)
            assert source is not None
            with open(path, "wb") as file:
                shutil.copyfileobj(source, file)
    write(fresh + "/" + os.path.basename(MODULES_MARKER), digest.encode(), 0o644)
    if os.path.exists(EXTENSION_MODULES):
        os.rename(EXTENSION_MODULES, old)
    os.rename(fresh, EXTENSION_MODULES)
    shutil.rmtree(old, ignore_errors=True)
    return True


def unpack(url, sha256, name, root="/", cache=CACHE):
    """Unpack an archive at ``root`` while it is fetched, unless this very archive was unpacked.

    Return whether it was unpacked. The files arrive below the cache first, and are moved to their
    places when the checksum is right. Raises Failed when it is not.
    """
    marker = os.path.join(cache, name + ".unpacked")
    if read(marker) == sha256:
        return False
    staging = os.path.join(cache, name + ".unpacking")
    shutil.rmtree(staging, ignore_errors=True)
    os.makedirs(staging, mode=0o700)
    try:
        extract(url, sha256, staging)
        # A call that is killed from here on leaves a mixture of two archives.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(marker)
        move(staging, root)
        command(["ldconfig"])
        write(marker, sha256.encode(), 0o644)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return True


def extract(url, sha256, directory):
    """Fetch a tar archive and extract it at the same time; compare its checksum."""
    words = ["tar", "--extract", "--no-same-owner", "--preserve-permissions", "--file", "-"]
    # A pipe would be full after some hundred warnings, and tar would wait for its reader.
    with tempfile.TemporaryFile() as said:
        tar = subprocess.Popen(
            [*words, "--directory", directory], stdin=subprocess.PIPE, stderr=said
        )
        assert tar.stdin is not None
        try:
            checksum = fetch(url, tar.stdin.write)
        except BrokenPipeError:
            checksum = ""
        finally:
            with contextlib.suppress(OSError):
                tar.stdin.close()
            failed = tar.wait()
        said.seek(0)
        problem = said.read().decode(errors="replace").strip()[-500:]
    if failed:
        raise Failed("tar cannot extract " + url + ": " + (problem or "it was ended"))
    if checksum != sha256:
        raise Failed(url + " has the SHA-256 " + checksum + ", but the pillar says " + sha256)


def fetch(url, write_chunk):
    """Pass the content of a URL to a function and return its SHA-256.

    No proxy is used: the store belongs to the cluster.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    digest = hashlib.sha256()
    with opener.open(url, timeout=FETCH_S) as answer:
        while True:
            chunk = answer.read(CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            write_chunk(chunk)


def move(source, target):
    """Move all files below a directory to the same places below another one.

    Existing directories and links to directories keep their modes; files are replaced.
    """
    for entry in os.listdir(source):
        ours, theirs = os.path.join(source, entry), os.path.join(target, entry)
        if os.path.isdir(ours) and not os.path.islink(ours):
            if os.path.isdir(theirs):
                move(ours, theirs)
                continue
            if os.path.lexists(theirs):
                os.unlink(theirs)
        elif os.path.isdir(theirs) and not os.path.islink(theirs):
            shutil.rmtree(theirs)
        try:
            os.rename(ours, theirs)
        except OSError:
            # The target is another file system.
            if os.path.isdir(ours) and not os.path.islink(ours):
                shutil.copytree(ours, theirs, symlinks=True)
            else:
                copy(ours, theirs)


def copy(source, target):
    """Copy a file or a link beside its place, then replace what is there in one step."""
    temporary = target + ".metalk8s-expand"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    shutil.copy2(source, temporary, follow_symlinks=False)
    os.rename(temporary, target)


def read(path):
    """Return the text of a small file, or an empty text if there is none."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def command(words):
    """Run a program; raise Failed with what it printed if it fails."""
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False
    )
    if done.returncode:
        text = done.stdout.decode(errors="replace").strip()[-500:]
        raise Failed(" ".join(words[:3]) + " failed: " + (text or str(done.returncode)))


if __name__ == "__main__":
    main(sys.argv[1], globals().get("REQUEST"))
