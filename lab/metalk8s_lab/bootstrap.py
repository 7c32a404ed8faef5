"""Make the first host a MetalK8s bootstrap node.

The host runs the Salt master, with the mounts and the configuration of MetalK8s's own. The role
states that deploy every node make it the first node.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from metalk8s_lab.builders import salt_python, wheel_image
from metalk8s_lab.builders.cache import file_digest
from metalk8s_lab.errors import LabError
from metalk8s_lab.lab import Lab
from metalk8s_lab.progress import working
from metalk8s_lab.topology import LEADING, NETWORKS, SUBNETS, hosts

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = REPOSITORY / "lab" / "files"
# A deployment with the interface of MetalK8s 134, for LAB_TREE=134.
TREE_OF_134 = REPOSITORY / "lab" / "metalk8s_134"
ROSTER = "_roster/kubernetes_nodes.py"
NAME = "bootstrap"
VERSION = "134.0.0"
SALTENV = f"metalk8s-{VERSION}"
# What MetalK8s brings: the container mounts both directories of the archive read-only.
ARCHIVE = f"/srv/scality/{SALTENV}"
TREE = f"{ARCHIVE}/salt"
# What an operator adds: the container sees nothing else that outlives an upgrade of MetalK8s.
EXTENSION = "/etc/salt/metalk8s-expand"
# The Salt commands that run in the master's container.
COMMANDS = ("salt", "salt-cp", "salt-key", "salt-run", "salt-ssh")
CONTAINER = "/usr/local/sbin/salt-master-container"
PREPARED = "/etc/kubernetes/static-pods/salt-master.yaml"
# The directories of the repository that stand in the place of MetalK8s's own, and their names there.
# The wheel and the sync use the same table (see the architecture page).
SERVED = {name: f"metalk8s/{name}" for name in ("orchestrate", "reactor", "roles")}
THEIRS = ("orchestrate", "roles")
CONFIGURATION = {
    "99-metalk8s.conf": "/etc/salt/master.d/99-metalk8s.conf",
    "99-metalk8s-roots.conf": "/etc/salt/master.d/99-metalk8s-roots.conf",
    "10-lab.conf": "/etc/salt/master.d/10-lab.conf",
    "bootstrap.yaml": "/etc/metalk8s/bootstrap.yaml",
    "minion": "/etc/salt/minion",
    "local-minion": "/etc/salt/local/minion",
    "top.sls": f"{EXTENSION}/pillar/top.sls",
    "metalk8s-top.sls": f"{ARCHIVE}/pillar/top.sls",
    "cluster.sls": f"{ARCHIVE}/pillar/cluster.sls",
}
DECLARATION = "metalk8s_expand.sls"
# Written last, so that the next ``up`` repeats an interrupted provisioning.
MARKER = "/var/lib/metalk8s-provisioned"
# With the wheel: the modules that minions get by sync, and the other trees in the master's Python.
FOR_MINIONS = ("_modules", "_states", "_utils")
MINIONS_TREE = f"{EXTENSION}/minions"
# MetalK8s asks the mine for the address of a new member.
MINE = """mine_functions:
  control_plane_ip:
    - mine_function: grains.get
    - metalk8s:control_plane_ip
"""
# Our role of a master, where MetalK8s's orchestration registers the etcd member and promotes none.
WITHOUT_PROMOTION = (
    ('{"metalk8s_expand_etcd": "Promote the etcd member"}', '{"sls": "metalk8s.roles.etcd"}'),
    ("set follows = has_static_pods", "set follows = False"),
)
PILLARS_OF_134 = """  - metalk8s: /etc/metalk8s/bootstrap.yaml
  - metalk8s_nodes: /etc/salt/master-kubeconfig.conf
  - metalk8s_etcd: {}
"""
LIMIT = 600  # the maximum duration of a command in seconds


def provision(lab: Lab) -> None:
    """Bring the bootstrap host to the state of a fresh MetalK8s installation.

    A second call with the same input changes nothing.
    """
    wanted = fingerprint(lab)
    if (
        lab.exec(
            NAME, ["sh", "-c", f'test "$(cat {MARKER})" = "$1"', "same", wanted], check=False
        ).returncode
        == 0
    ):
        return
    with working("bootstrap: Salt's master and trees"):
        install_salt(lab)
        install_trees(lab)
        configure(lab)
    with working("bootstrap: control plane, by its role states"), ThreadPoolExecutor(1) as beside:
        imported = beside.submit(import_image, lab)
        apply_roles(lab)
        imported.result()
    with working("bootstrap: Salt's master and minion run"):
        run_salt(lab)
    lab.write_file(NAME, MARKER, wanted)


def fingerprint(lab: Lab) -> str:
    """Return a digest of all input of the bootstrap host.

    If the digest differs from the one in the marker, the host must be provisioned again.
    """
    digest = hashlib.sha256((lab.artifacts / "artifacts.json").read_bytes())
    digest.update(f"{lab.settings.install} {lab.settings.tree}".encode())
    digest.update(lab.settings.family.encode())
    digest.update(known_hosts(lab).encode())
    for top in (REPOSITORY / "salt", FILES, TREE_OF_134, Path(__file__).parent):
        for path in sorted(
            path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ):
            digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def install_salt(lab: Lab) -> None:
    """Unpack the master's Salt unless the host has this build already."""
    want = json.loads((lab.artifacts / "artifacts.json").read_text())["salt-master.tar"]["sha256"]
    script = (
        'test "$(cat /opt/salt/.sha256 2>/dev/null)" = "$1" && exit 0; '
        "rm -rf /opt/salt && tar -C / -xf /srv/artifacts/salt-master.tar "
        '&& echo "$1" > /opt/salt/.sha256'
    )
    lab.exec(NAME, ["sh", "-c", script, "install", want], timeout=LIMIT)


def install_trees(lab: Lab) -> None:
    """Copy the repository's Salt tree.

    Our deployment stands where MetalK8s serves its own. The extension stands where an operator puts
    it. With the wheel, the master serves only what minions need.
    """
    salt = REPOSITORY / "salt"
    with tempfile.TemporaryDirectory() as scratch:
        theirs, ours, minions = (Path(scratch) / name for name in ("theirs", "ours", "minions"))
        for source in sorted(path for path in salt.iterdir() if path.is_dir()):
            top = theirs if source.name in THEIRS else ours
            shutil.copytree(source, top / SERVED.get(source.name, source.name))
        # Inside of a MetalK8s tree the file of this name is MetalK8s's own.
        (theirs / ROSTER).parent.mkdir()
        (ours / ROSTER).rename(theirs / ROSTER)
        if lab.settings.tree == "134":
            # Its orchestrations are MetalK8s's alone.
            shutil.rmtree(theirs / SERVED["orchestrate"])
            shutil.copytree(TREE_OF_134, theirs, dirs_exist_ok=True)
            minion = theirs / SERVED["roles"] / "node" / "files" / "minion.j2"
            minion.write_text(minion.read_text() + MINE)
            role = theirs / SERVED["roles"] / "master" / "init.sls"
            text = role.read_text()
            for ours_in_it, theirs_instead in WITHOUT_PROMOTION:
                if ours_in_it not in text:
                    raise LabError(f"{role.name} of the role has no {ours_in_it}")
                text = text.replace(ours_in_it, theirs_instead)
            role.write_text(text)
        for name in FOR_MINIONS:
            shutil.copytree(salt / name, minions / name)
        lab.copy_tree(NAME, theirs, TREE)
        lab.copy_tree(NAME, ours, f"{EXTENSION}/salt")
        lab.copy_tree(NAME, minions, MINIONS_TREE)


def configure(lab: Lab) -> None:
    """Write the configuration, the pillar, the SSH key and the known hosts."""
    for name, path in CONFIGURATION.items():
        lab.write_file(NAME, path, filled(lab, (FILES / name).read_text()))
    lab.write_file(NAME, "/etc/salt/master.d/zz-metalk8s-expand.conf", extension(lab))
    _once(lab, f"{EXTENSION}/pillar/{DECLARATION}", declaration(lab))
    lab.write_file(
        NAME, "/etc/metalk8s/cluster.json", json.dumps(cluster(lab), indent=1, sort_keys=True)
    )
    # salt-ssh falls back to this roster: it must be empty, and a missing file causes a traceback.
    lab.write_file(NAME, "/etc/salt/roster", "{}\n")
    lab.write_file(NAME, "/etc/metalk8s/pki/salt-bootstrap", lab.ssh_key.read_text(), 0o600)
    lab.write_file(NAME, "/etc/metalk8s/pki/known_hosts", known_hosts(lab))
    for path in (CONTAINER, *(f"/usr/local/sbin/{name}" for name in COMMANDS)):
        lab.write_file(NAME, path, (FILES / "salt_master_container.py").read_text(), 0o755)
    lab.exec(NAME, ["install", "-d", "-m", "0700", str(Path(PREPARED).parent)])
    lab.write_file(NAME, PREPARED, manifest(lab), 0o600)


def declaration(lab: Lab) -> str:
    """Return the declaration of the first four blank hosts.

    With both families, the Salt master reaches them at the addresses outside the cluster's network.
    """
    text = (FILES / DECLARATION).read_text()
    for one in hosts(len(LEADING) + 1, lab.settings.family):
        ssh = "".join(f"\n      ssh: {{host: {other}}}" for other in one.others)
        text = text.replace(f"address: @{one.name}@", f"address: {one.address}{ssh}")
    return text


def filled(lab: Lab, text: str) -> str:
    """Return a file of the lab with the values of this cluster."""
    networks = NETWORKS[lab.bootstrap.address.version]
    values = {
        "ARCHIVE": ARCHIVE,
        "VERSION": VERSION,
        "SALTENV": SALTENV,
        "MINE": MINE,
        "ADDRESS": str(lab.bootstrap.address),
        "NETWORK": str(SUBNETS[lab.settings.family][0]),
        "PODS": networks.pod,
        "SERVICES": networks.service,
        # Salt looks for an IPv4 address otherwise.
        "IPV6": "ipv6: true\n" if lab.bootstrap.address.version == 6 else "",
        "PILLARS": PILLARS_OF_134 if lab.settings.tree == "134" else "",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def extension(lab: Lab) -> str:
    """Return the operator's part of the master's configuration: the trees and the pillar.

    With the wheel it names no tree from which a sync would update the master itself.
    """
    # Salt joins the lists of both files, MetalK8s's first.
    trees = [f"{EXTENSION}/salt"]
    if lab.settings.install == "wheel":
        python = salt_python.library(lab.settings.salt_version)
        package = f"/opt/salt/lib/{python}/site-packages/metalk8s_expand"
        trees = [MINIONS_TREE, f"{package}/srv/beside"]
    return json.dumps(
        {
            "file_roots": {SALTENV: trees},
            "pillar_roots": {"base": [f"{EXTENSION}/pillar"]},
            # Our role states request all certificates of a node at once. MetalK8s's own request
            # each by the function that its configuration permits.
            "peer": {".*": ["metalk8s_expand_ca.sign"]},
        },
        indent=1,
    )


def manifest(lab: Lab) -> str:
    """Return the static Pod of the Salt master; another image makes another Pod."""
    image = master_image(lab)
    text = filled(lab, (FILES / "salt-master.yaml").read_text())
    return text.replace("@IMAGE@", image["image"]).replace("@DIGEST@", image["sha256"])


def master_image(lab: Lab) -> dict[str, str]:
    """Return the name and the checksum of the image of the Salt master."""
    if lab.settings.install == "wheel":
        archive = wheel_image.build(lab.settings, lab.artifacts) / wheel_image.ARCHIVE
        return {"image": wheel_image.REFERENCE, "sha256": file_digest(archive)}
    found: dict[str, str] = json.loads((lab.artifacts / "artifacts.json").read_text())[
        "images/salt-master.tar"
    ]
    return found


def cluster(lab: Lab) -> dict[str, Any]:
    """Return the pillar that describes the cluster to every minion."""
    artifacts = json.loads((lab.artifacts / "artifacts.json").read_text())
    images = {Path(name).stem: item["image"] for name, item in artifacts.items() if "image" in item}
    address = lab.bootstrap.address
    networks = NETWORKS[address.version]
    store = f"[{address}]" if address.version == 6 else str(address)
    description = {
        "version": VERSION,
        "bootstrap": {
            "name": NAME,
            "address": str(address),
            "roles": ["bootstrap", "master", "etcd", "infra"],
            "taints": ["bootstrap", "infra"],
        },
        "networks": {
            "pod": networks.pod,
            "service": networks.service,
            "dns": networks.dns,
            "domain": "cluster.local",
        },
        "artifacts": {
            "url": f"http://{store}:8080",
            "directory": "/srv/artifacts",
            "sha256": {name: item["sha256"] for name, item in artifacts.items()},
        },
        "images": images,
        # Only containers that share a kernel need these values: real machines keep the defaults.
        "cgroup_driver": "cgroupfs",
        "restrict_oom_score_adj": True,
        "kubelet": {"failCgroupV1": False, "failSwapOn": False},
    }
    return {"metalk8s": {"cluster": description}}


def known_hosts(lab: Lab) -> str:
    """Return the known hosts: the keys that an operator records when installing the hosts."""
    lines = []
    for one in lab.hosts:
        key = (
            (lab.settings.state / "identity" / one.name / "ssh_host_ed25519_key.pub")
            .read_text()
            .split()
        )
        names = ",".join([*map(str, one.addresses), one.name])
        lines.append(f"{names} {key[0]} {key[1]}")
    return "\n".join(lines) + "\n"


def apply_roles(lab: Lab) -> None:
    """Apply the role states of the bootstrap node.

    Raise ``LabError`` with the failed states.
    """
    # The pillar queries the API server if it is installed. After a start it is not ready at once.
    wait = (
        "test -e /etc/kubernetes/manifests/kube-apiserver.yaml || exit 0; "
        "for i in $(seq 120); do kubectl get --raw /readyz >/dev/null 2>&1 && exit 0; sleep 1; done; "
        "exit 1"
    )
    lab.exec(
        NAME, ["env", "KUBECONFIG=/etc/kubernetes/admin.conf", "sh", "-c", wait], timeout=LIMIT
    )
    local = ["salt-call", "--local", "--config-dir=/etc/salt/local", "--retcode-passthrough"]
    lab.exec(NAME, [*local, "saltutil.sync_all", f"saltenv={SALTENV}"], timeout=LIMIT)
    pillar = json.dumps({"metalk8s": {"new_etcd_cluster": True}})
    done = lab.exec(
        NAME,
        [
            *local,
            "--out=json",
            "state.apply",
            "metalk8s.roles.bootstrap",
            f"saltenv={SALTENV}",
            f"pillar={pillar}",
        ],
        timeout=LIMIT,
        check=False,
    )
    failed = _failed(done.stdout)
    if done.returncode or failed:
        raise LabError(
            "the bootstrap node's roles failed:\n"
            + ("\n".join(failed) or done.stdout + done.stderr)
        )


def import_image(lab: Lab) -> None:
    """Import the master's image as soon as containerd answers.

    It runs in parallel to the role states, because unpacking takes longer than they do.
    """
    want, archive = master_image(lab)["sha256"], "/srv/artifacts/images/salt-master.tar"
    if lab.settings.install == "wheel":
        lab.copy_tree(
            NAME, wheel_image.build(lab.settings, lab.artifacts), "/var/cache/metalk8s/wheel"
        )
        archive = f"/var/cache/metalk8s/wheel/{wheel_image.ARCHIVE}"
    script = """
marker=/var/lib/containerd/salt-master.imported
for i in $(seq 600); do
    ctr version >/dev/null 2>&1 || { sleep 0.5; continue; }
    test "$(cat $marker 2>/dev/null)" = "$1" && exit 0
    ctr --namespace k8s.io images import "$2" && echo "$1" > $marker
    exit
done
echo 'containerd does not answer' >&2
exit 1
"""
    lab.exec(NAME, ["sh", "-c", script, "import", want, archive], timeout=LIMIT)


def run_salt(lab: Lab) -> None:
    """Start the master and the minion.

    The script compares the minion's key with the file on the same host before it accepts the key.
    """
    script = """
set -e
# Before it starts: a running master keeps an older library, or that it found none.
rm -rf /var/cache/salt/master/extmods
mkdir -p /var/cache/salt/master/proc
test "$1" = wheel || /opt/salt/bin/salt-run saltutil.sync_all "saltenv=$2" >/dev/null
# The add-ons create the Node before the kubelet registers it, and until then the kubelet counts a
# Node without capacity: it denies a static Pod once and never tries it again.
for i in $(seq 60); do
    test -z "$(/usr/local/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf get node bootstrap \
        --output='jsonpath={.status.allocatable.pods}' 2>/dev/null)" || break
    sleep 0.5
done
salt-master-container restart
install -D -m 0644 /etc/salt/pki/master/master.pub /etc/salt/pki/minion/minion_master.pub
install -m 0644 "$3/metalk8s/roles/node/files/salt-minion.service" /etc/systemd/system/salt-minion.service
systemctl daemon-reload
systemctl enable --quiet salt-minion
systemctl restart salt-minion
for i in $(seq 60); do
    # Again and again: a master that handles the minion's next request at that moment makes it pending once more.
    if test "$(cat /etc/salt/pki/minion/minion.pub)" = "$(cat /etc/salt/pki/master/minions_pre/bootstrap 2>/dev/null)"; then
        salt-key --yes --accept=bootstrap >/dev/null
    fi
    salt --timeout=2 bootstrap test.ping >/dev/null 2>&1 && exit 0
done
echo 'the bootstrap minion does not answer' >&2
exit 1
"""
    words = ["sh", "-c", script, "run", lab.settings.install, SALTENV, TREE]
    lab.exec(NAME, words, timeout=LIMIT)
    lab.exec(NAME, ["salt", "bootstrap", "saltutil.sync_all", f"saltenv={SALTENV}"], timeout=LIMIT)


def _once(lab: Lab, path: str, content: str) -> None:
    """Write a file unless it exists: the operator may have edited it."""
    if lab.exec(NAME, ["test", "-e", path], check=False).returncode:
        lab.write_file(NAME, path, content)


def _failed(text: str) -> list[str]:
    try:
        states = json.loads(text)["local"]
    except (ValueError, KeyError, TypeError):
        return []
    if not isinstance(states, dict):
        return [str(states)]
    return [
        f"{key}: {item['comment']}" for key, item in states.items() if not item.get("result", False)
    ]
