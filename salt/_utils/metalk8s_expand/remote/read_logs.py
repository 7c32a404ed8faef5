"""Read the last lines of the logs of the host that the script runs on and print them as JSON.
Change nothing, leave no files.

The master sends the script to ``python3 -`` in one SSH call, as ``host_facts.py``. So it is one
file, uses only the standard library, and supports every Python from 3.6. Its only argument is the
request, as JSON. It reads a bounded part of each log, and ends at its deadline. The receiver leaves
out the secrets.
"""

import sys

# As root, Python would write compiled modules into an installation that has none.
sys.dont_write_bytecode = True

import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

# The mark separates the answer from other output of a login shell.
MARK = "metalk8s-expand-logs:"

DEFAULTS = {"lines": 50, "bytes": 32768, "seconds": 10, "node": ""}
MINION_LOG = "/var/log/salt/minion"
POD_LOGS = "/var/log/pods"
# A control-plane node has five static Pods with one container each.
CONTAINERS = 20
# The kubelet names the directory of a static Pod NAMESPACE_NAME-NODE_HASH. Other Pods have a UUID.
STATIC_POD = re.compile(r"(?P<namespace>[^_]+)_(?P<pod>[^_]+)_(?P<hash>[0-9a-f]{32})")


def end_of_file(path, lines, most):
    """Return the last lines of a file and whether earlier text was left out."""
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - most))
        data = stream.read(most)
    return end_of_text(data, lines, size > len(data))


def end_of_text(data, lines, cut):
    """Return the last lines of bytes, and whether earlier lines were left out.

    ``cut`` is true if the bytes do not begin at the start of the log.
    """
    rows = data.decode("utf-8", "replace").split("\n")
    if rows and not rows[-1]:
        del rows[-1]
    if cut and len(rows) > 1:
        # The first line has lost its beginning.
        del rows[0]
    kept = rows[-lines:]
    return kept, cut or len(rows) > len(kept)


def minion(request):
    """Return the log file of the Salt minion."""
    path = (request.get("sources") or {}).get(MINION_LOG, MINION_LOG)
    return [file_part("minion", path, request)]


def unit(name, request):
    """Return the journal of a unit of systemd."""
    command = ["journalctl", "--unit", name, "--no-pager", "--output", "short-iso", "--lines"]
    command.append(str(request["lines"]))
    source = "journalctl --unit " + name
    try:
        done = subprocess.run(  # noqa: UP022 - Python 3.6 has no capture_output
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=max(1, request["seconds"] - 1),
            check=False,
        )
    except FileNotFoundError:
        return [part(name, source, problem="this host has no journalctl")]
    except subprocess.TimeoutExpired:
        return [part(name, source, problem="journalctl did not end in time")]
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        return [part(name, source, problem=said or "journalctl failed")]
    data = done.stdout[-request["bytes"] :]
    rows, cut = end_of_text(data, request["lines"], len(done.stdout) > len(data))
    rows = [row for row in rows if not row.startswith("-- ")]
    problem = "" if rows else "the journal has no entry of this unit"
    # The journal has earlier lines if it has as many lines as requested.
    return [part(name, source, rows, cut or len(rows) >= request["lines"], problem)]


def static_pods(request):
    """Return the newest log file of each container of the static Pods of this node."""
    top = (request.get("sources") or {}).get(POD_LOGS, POD_LOGS)
    node = request["node"]
    parts = []
    for name in names(top):
        static = STATIC_POD.fullmatch(name)
        if not static or (node and not static.group("pod").endswith("-" + node)):
            continue
        for container in names(os.path.join(top, name)):
            directory = os.path.join(top, name, container)
            logs = [file for file in names(directory) if re.fullmatch(r"\d+\.log", file)]
            if logs:
                newest = max(logs, key=lambda file: int(file.partition(".")[0]))
                title = static.group("pod") + "/" + container
                parts.append(file_part(title, os.path.join(directory, newest), request))
    if not parts:
        return [part("static Pods", POD_LOGS, problem="this node has no log of a static Pod")]
    return parts[:CONTAINERS]


def names(path):
    """Return the names in a directory, an empty list if it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def file_part(title, path, request):
    """Return the end of a log file, or why it cannot be read."""
    try:
        rows, cut = end_of_file(path, request["lines"], request["bytes"])
    except OSError as error:
        return part(title, path, problem=error.strerror or str(error))
    return part(title, path, rows, cut, "" if rows else "the file is empty")


def part(title, source, rows=(), cut=False, problem=""):
    """Return one part of the answer."""
    return {
        "part": title,
        "source": source,
        "lines": list(rows),
        "cut": bool(cut),
        "problem": problem or None,
    }


def logs(request):
    """Return the parts of all logs within ``request["seconds"]``.

    A log that cannot be read in time is a part with a problem.
    """
    request = dict(DEFAULTS, **request)
    readers = [
        ("minion", lambda: minion(request)),
        ("kubelet", lambda: unit("kubelet", request)),
        ("containerd", lambda: unit("containerd", request)),
        ("static Pods", lambda: static_pods(request)),
    ]
    results = {}

    def run(title, reader):
        try:
            results[title] = reader()
        except Exception as error:
            problem = type(error).__name__ + ": " + str(error)
            results[title] = [part(title, "", problem=problem)]

    until = time.monotonic() + request["seconds"]
    # A file on a hung file system must not delay the others.
    threads = [threading.Thread(target=run, args=item, daemon=True) for item in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    answers = []
    for title, _ in readers:
        answers.append(results.get(title) or [part(title, "", problem="it was not read in time")])
    return [item for answer in answers for item in answer]


def main(arguments):
    """Print one line and exit without waiting for threads that hang."""
    parts = logs(json.loads(arguments[0]) if arguments else {})
    print(MARK + json.dumps({"parts": parts}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
