"""A fake MetalK8s tree with the names of the real one and the interface of its ``deploy_node``.

Only the names come from MetalK8s. They are the names in its public repository, in all versions
since 2019: an older cluster may still have a name that newer versions removed. The fake modules
only report that they belong to MetalK8s.
"""

from __future__ import annotations

from pathlib import Path

# By kind and file: the virtual name, if it differs. Salt merges modules with the same virtual name.
NAMES: dict[str, dict[str, str]] = {
    "auth": {"kubernetes_rbac": ""},
    "beacons": {"certificate_ttl": "", "metalk8s_kubeconfig_info": ""},
    "modules": {
        "containerd": "", "cri": "", "docker_registry": "", "kubeconfig": "", "kubernetesmod": "kubernetes", "metalk8s": "",
        "metalk8s_backups": "", "metalk8s_checks": "", "metalk8s_cordon": "metalk8s_kubernetes",
        "metalk8s_drain": "metalk8s_kubernetes", "metalk8s_etcd": "", "metalk8s_grafana": "", "metalk8s_image_cache": "",
        "metalk8s_kubeconfig": "", "metalk8s_kubernetes": "", "metalk8s_kubernetes_cronjob": "metalk8s_kubernetes",
        "metalk8s_kubernetes_utils": "metalk8s_kubernetes", "metalk8s_monitoring": "", "metalk8s_network": "", "metalk8s_olm": "",
        "metalk8s_os": "", "metalk8s_package_manager": "", "metalk8s_package_manager_apt": "metalk8s_package_manager",
        "metalk8s_package_manager_yum": "metalk8s_package_manager", "metalk8s_service_configuration": "", "metalk8s_solutions": "",
        "metalk8s_solutions_k8s": "metalk8s_solutions", "metalk8s_sysctl": "", "metalk8s_volumes": "",
    },
    "pillar": {
        "kubernetes_node": "", "metalk8s": "", "metalk8s_endpoints": "", "metalk8s_etcd": "", "metalk8s_nodes": "",
        "metalk8s_private": "", "metalk8s_solutions": "",
    },
    "renderers": {"metalk8s_kubernetes": ""},
    "roster": {"kubernetes_nodes": "kubernetes"},
    "runners": {"metalk8s_checks": "", "metalk8s_saltutil": ""},
    "states": {
        "containerd": "", "docker_registry": "", "kubeconfig": "", "kubernetesmod": "kubernetes", "metalk8s": "",
        "metalk8s_checks": "", "metalk8s_cordon": "", "metalk8s_drain": "", "metalk8s_etcd": "", "metalk8s_image_cache": "",
        "metalk8s_kubernetes": "", "metalk8s_package_manager": "", "metalk8s_sysctl": "", "metalk8s_volumes": "",
    },
    "tops": {"kubernetes_node": ""},
    "utils": {"kubernetes_utils": "", "metalk8s_kubernetes": "", "metalk8s_utils": "", "pillar_utils": "", "volume_utils": ""},
}  # fmt: skip
# The SLS of MetalK8s below the two trees in which the extension has SLS too.
SLS = {
    "metalk8s.orchestrate": (
        "apiserver",
        "bootstrap",
        "certs.renew",
        "deploy_node",
        "etcd",
        "register_etcd",
        "upgrade",
    ),
    "metalk8s.roles": ("bootstrap", "ca", "etcd", "infra", "master", "minion", "node"),
}

PLUGIN = """
__virtualname__ = {virtual!r}


def __virtual__():
    return __virtualname__


def whose(*args, **kwargs):
    return "theirs"


targets = ext_pillar = auth = beacon = render = top = whose
"""

# The names of the nodes select the behavior. Only the functions that deploy_node calls exist.
CODE = {
    "_runners/metalk8s_saltutil.py": '''
def whose():
    return "theirs"


def wait_minions(tgt="*", retry=10):
    """As of old, it returned its failure; newer ones raise."""
    if tgt == "w-returns":
        return {"result": False, "error": "Minion failed to respond after 10 retries: w-returns"}
    if tgt == "w-raises":
        raise Exception("Minion failed to respond after 10 retries: w-raises")
    if tgt == "w-type":
        return None + 1
    return True
''',
    "_modules/metalk8s.py": """
def whose():
    return "theirs"


def minions_by_role(role):
    return ["boot"]
""",
    "_states/metalk8s_cordon.py": """
def whose():
    return "theirs"


def node_cordoned(name):
    return {"name": name, "result": True, "changes": {"new": "unschedulable"}, "comment": "Node cordoned"}


def node_uncordoned(name):
    return {"name": name, "result": True, "changes": {"new": "schedulable"}, "comment": "Node uncordoned"}
""",
    # The order and the inputs of the original, shortened: a declared version, roles from the
    # pillar, states, functions, a runner and a nested orchestration, between cordon and uncordon.
    "metalk8s/orchestrate/deploy_node.sls": """
{%- set node = pillar.orchestrate.node_name %}
{%- set version = pillar.metalk8s.nodes[node].version %}
{%- set roles = pillar.metalk8s.nodes[node].roles %}
Sync module on the node:
  salt.function:
    - name: saltutil.sync_all
    - tgt: {{ node }}
    - kwarg:
        saltenv: metalk8s-{{ version }}

Cordon the node:
  metalk8s_cordon.node_cordoned:
    - name: {{ node }}

Wait minion available:
  salt.runner:
    - name: metalk8s_saltutil.wait_minions
    - tgt: {{ node }}

{%- if "etcd" in roles %}
Register the node into etcd cluster:
  salt.runner:
    - name: state.orchestrate
    - pillar: {{ pillar | json }}
    - mods:
      - metalk8s.orchestrate.register_etcd
{%- endif %}

Run the highstate:
  salt.state:
    - tgt: {{ node }}
    - highstate: True
    - saltenv: metalk8s-{{ version }}
    - require:
      - metalk8s_cordon: Cordon the node

Uncordon the node:
  metalk8s_cordon.node_uncordoned:
    - name: {{ node }}
    - require:
      - salt: Run the highstate

Kill kube-controller-manager on all master nodes:
  salt.function:
    - name: ps.pkill
    - tgt: "{{ salt['metalk8s.minions_by_role']('master') | join(',') }}"
    - tgt_type: list
    - fail_minions: "{{ salt['metalk8s.minions_by_role']('master') | join(',') }}"
    - require:
      - salt: Run the highstate
""",
    "metalk8s/orchestrate/register_etcd.sls": """
{%- set node = pillar.orchestrate.node_name %}
Register host {{ node }} as part of etcd cluster:
{%- if node == "e-degraded" %}
  test.fail_without_changes:
    - comment: etcd cluster is degraded
{%- else %}
  test.nop
{%- endif %}
""",
}


def make(base: Path) -> Path:
    """Write the tree of one version as the saltenv ``metalk8s-<version>`` serves it."""
    for kind, files in NAMES.items():
        for file, virtual in files.items():
            _write(base / f"_{kind}" / f"{file}.py", PLUGIN.format(virtual=virtual or file))
    for package, names in SLS.items():
        for name in names:
            _write(base / f"{package}.{name}".replace(".", "/") / "init.sls", "{}")
    for path, text in CODE.items():
        _write(base / path, text)
    (base / "metalk8s/orchestrate/deploy_node/init.sls").unlink()
    (base / "metalk8s/orchestrate/register_etcd/init.sls").unlink()
    return base


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
