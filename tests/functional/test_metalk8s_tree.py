"""Test the extension inside a MetalK8s tree.

It shadows no file of MetalK8s, calls the deployment of MetalK8s, and adopts its result.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import extension
from tests.functional import metalk8s_tree

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("modules", "output", "pillar", "roster", "runners", "states", "utils")
THEIRS, NEXT = "metalk8s-2.0", "metalk8s-2.1"

PREPARED = """
import json, sys
import salt.config, salt.loader, salt.utils.extmods
given = json.loads(sys.argv[1])
base = given["base"]
opts = salt.config.master_config(None)
opts.update({"root_dir": base, "cachedir": base + "/cache", "extension_modules": base + "/ext", "pki_dir": base + "/pki",
             "sock_dir": base + "/sock", "conf_file": base + "/master", "id": "boot_master", "log_file": base + "/log",
             "file_roots": given["file_roots"], "pillar_roots": {"base": [base + "/pillar"]},
             # Roots that have just changed are looked at, not what was listed in them up to 20 s ago.
             "fileserver_list_cache_time": 0})
"""

SYNC_AND_LOAD = (
    PREPARED
    + """
opts["grains"] = {"kernel": "Linux", "os": "Debian", "os_family": "Debian"}
for saltenv in given["sync"]:
    for kind in given["kinds"]:
        salt.utils.extmods.sync(opts, kind, saltenv=saltenv)
utils = salt.loader.utils(opts)
modules = salt.loader.minion_mods(opts, utils=utils)
loaders = {"modules": modules, "roster": salt.loader.roster(opts, runner={}, utils=utils),
           "runners": salt.loader.runner(opts, utils=utils), "states": salt.loader.states(opts, modules, utils, serializers=None)}
found = {}
for kind, loader in loaders.items():
    theirs = {name.partition(".")[0] for name in loader if name.endswith(".whose")}
    ours = {name.partition(".")[0] for name in loader if name.startswith("metalk8s_expand")}
    found[kind] = {**{name: "theirs" for name in theirs}, **{name: "ours" for name in ours}}
roster = loaders["roster"]
found["kubernetes"] = "theirs" if "kubernetes.whose" in roster else "ours" if "kubernetes.targets" in roster else None
print(json.dumps(found))
"""
)

CHAIN = (
    PREPARED
    + """
import time
import salt.client
from metalk8s_expand.clients.salt import orchestrations
from metalk8s_expand.clients.salt.file_server import FileServer
from metalk8s_expand.domain.node.spec import Node
from metalk8s_expand.domain.salt import orchestration_result
from metalk8s_expand.preflight import saltenvs

class Wire:
    '''Instead of the master and its minions; what they return is what those return.'''

    def __init__(self, *args, **kwargs): pass
    def __enter__(self): return self
    def __exit__(self, *args): pass

    def cmd_iter(self, tgt, fun, *args, **kwargs):
        told = given["replies"].get(str(tgt) + " " + fun)
        plain = {"ret": True, "retcode": 0, "jid": "1"}
        ran = {"file_|-a_|-a_|-managed": {"result": True, "changes": {"new": 1}, "comment": "", "__run_num__": 0, "name": "a"}}
        state = {"ret": ran, "out": "highstate", "retcode": 0, "jid": "2"}
        names = tgt.split(",") if isinstance(tgt, str) else tgt
        for name in names:
            yield {name: told or (state if fun.startswith("state.") else plain)}

salt.client.get_local_client = Wire
jobs = orchestrations.Orchestrations(opts, ask_every=0.3)
started, found = {}, {}
for name, saltenv in given["runs"]:
    started[name + " " + saltenv] = job = jobs.new()
    jobs.start(job, saltenvs.ORCHESTRATION, saltenv, {"orchestrate": {"node_name": name, "epoch": 7}})
end = time.monotonic() + 240
while len(found) < len(started) and time.monotonic() < end:
    for title, job in started.items():
        assert jobs.begun_states(job) == [], "there is no event bus"
        answer = jobs.result(job)
        if answer is not None and title not in found:
            found[title] = {"problems": orchestration_result.problems(answer), "answer": answer,
                            "states": [(state.name, state.ok) for state in orchestration_result.states(answer)]}
    time.sleep(0.3)
files = FileServer(opts)
nodes = [Node("w-1", "2.0", (), ()), Node("w-2", "9", (), ()), Node("w-3", "empty", (), ())]
found["environments"] = {"problems": saltenvs.problems(files, nodes), "hint": saltenvs.hint(files)}
print(json.dumps(found, default=str))
"""
)


def run(program: str, base: Path, path: Path, timeout: int = 300, **given: Any) -> Any:
    """Run a program with a fresh Salt in this directory and return its answer.

    ``path`` is on PYTHONPATH. It may contain the extension.
    """
    for name in ("cache/proc", "pki", "pillar"):
        (base / name).mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", program, json.dumps({"base": str(base), **given})]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        cwd=base,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return metalk8s_tree.make(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the files of a synced installation: plugins and library, without the SLS."""
    base = tmp_path_factory.mktemp("ours")
    for kind in KINDS:
        shutil.copytree(
            ROOT / "salt" / f"_{kind}",
            base / f"_{kind}",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return base


@pytest.fixture
def load(theirs: Path, ours: Path, tmp_path: Path) -> Any:
    def loaded(*sync: str, site: Path | None = None, **roots: list[Path]) -> Any:
        named = {
            saltenv.replace("_", "-").replace("v", "."): list(map(str, paths))
            for saltenv, paths in roots.items()
        }
        return run(
            SYNC_AND_LOAD, tmp_path, site or tmp_path, file_roots=named, sync=sync, kinds=KINDS
        )

    return loaded


def our_names(kind: str) -> set[str]:
    found = set()
    for path in (ROOT / "salt" / f"_{kind}").glob("*"):
        if path.stem.startswith("__"):
            continue
        found.add(path.stem)
        if path.is_file():
            found |= set(re.findall(r'^__virtualname__ = "(\w+)"', path.read_text(), re.MULTILINE))
    return found


def their_names(kind: str) -> set[str]:
    files = metalk8s_tree.NAMES.get(kind, {})
    return {*files, *filter(None, files.values())}


def test_drop_in_roster_is_only_plugin_that_both_trees_have() -> None:
    both = {(kind, name) for kind in KINDS for name in our_names(kind) & their_names(kind)}
    assert both == {("roster", "kubernetes_nodes"), ("roster", "kubernetes")}


def test_documentation_lists_every_name_that_both_trees_have() -> None:
    page = (ROOT / "docs" / "explanations" / "metalk8s.rst").read_text()
    ours = {"metalk8s." + ".".join(path.relative_to(ROOT / "salt").with_suffix("").parts).removesuffix(".init")
            for tree in ("orchestrate", "roles") for path in (ROOT / "salt" / tree).rglob("*.sls")}  # fmt: skip
    theirs = {f"{package}.{name}" for package, names in metalk8s_tree.SLS.items() for name in names}
    assert ours & theirs >= {
        "metalk8s.orchestrate.deploy_node",
        "metalk8s.roles.minion",
        "metalk8s.roles.etcd",
    }
    missing = [
        name for name in [*sorted(ours & theirs), "kubernetes_nodes"] if f"``{name}``" not in page
    ]
    assert missing == []


def test_documentation_names_only_existing_tests() -> None:
    page = (ROOT / "docs" / "explanations" / "metalk8s.rst").read_text()
    named = set(re.findall(r"``(test_\w+)``", page))
    assert len(named) > 10
    assert named <= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}


def everything(found: Any) -> None:
    """Every MetalK8s module comes from MetalK8s, and the extension is loaded next to them."""
    for kind in ("modules", "runners", "states"):
        wanted = {virtual or file for file, virtual in metalk8s_tree.NAMES[kind].items()}
        assert {name for name, whose in found[kind].items() if whose == "theirs"} >= wanted
    assert found["runners"]["metalk8s_expand"] == "ours"
    assert found["roster"]["metalk8s_expand"] == "ours"
    assert found["states"]["metalk8s_expand_node"] == "ours"


def test_synced_extension_shadows_nothing(load: Any, theirs: Path, ours: Path) -> None:
    found = load(THEIRS, metalk8s_2v0=[theirs, ours])
    everything(found)
    assert found["kubernetes"] == "theirs"


def test_installed_extension_shadows_nothing(load: Any, theirs: Path, wheel: Path) -> None:
    found = load(THEIRS, site=wheel, metalk8s_2v0=[theirs])
    everything(found)
    assert found["kubernetes"] == "theirs"


def test_drop_in_before_metalk8s_overrides_roster(load: Any, theirs: Path, ours: Path) -> None:
    """The drop-in roster overrides the roster of MetalK8s if its directory comes first.

    Therefore the documentation puts the directory of MetalK8s first and leaves the drop-in out.
    """
    assert load(THEIRS, metalk8s_2v0=[ours, theirs])["kubernetes"] == "ours"
    (ours / "_roster" / "kubernetes_nodes.py").unlink()
    found = load(THEIRS, metalk8s_2v0=[ours, theirs])
    everything(found)
    assert found["kubernetes"] == "theirs"


def test_sync_of_other_saltenv_removes_plugins_missing_in_it(
    load: Any, theirs: Path, ours: Path
) -> None:
    """Salt's clean_dynamic_modules removes plugins that the synced saltenv does not have.

    Therefore every synced saltenv has both directories, and base is never synced.
    """
    found = load(THEIRS, NEXT, metalk8s_2v0=[theirs, ours], metalk8s_2v1=[theirs])
    assert "metalk8s_expand" not in found["runners"]
    found = load(THEIRS, "base", metalk8s_2v0=[theirs, ours], base=[ours])
    assert found["runners"] == {"metalk8s_expand": "ours"}
    everything(load(THEIRS, NEXT, metalk8s_2v0=[theirs, ours], metalk8s_2v1=[theirs, ours]))


def test_configuration_files_join_roots_of_saltenv(tmp_path: Path) -> None:
    """Therefore the configuration file of the extension names its own directory alone."""
    (tmp_path / "master.d").mkdir()
    (tmp_path / "master").write_text("id: boot\n")
    (tmp_path / "master.d" / "99-metalk8s-roots.conf").write_text(
        json.dumps({"file_roots": {THEIRS: ["/theirs"], NEXT: ["/next"]}})
    )
    (tmp_path / "master.d" / "zz-metalk8s-expand.conf").write_text(
        json.dumps({"file_roots": {THEIRS: ["/ours"]}})
    )
    program = "import json, sys, salt.config; print(json.dumps(salt.config.master_config(sys.argv[1])['file_roots']))"
    command = [sys.executable, "-c", program, str(tmp_path / "master")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found[THEIRS], found[NEXT]) == (["/theirs", "/ours"], ["/next"])


DECLARED = """
from metalk8s_expand.clients.salt import pillar
opts.update({"pillar_roots": given["pillar_roots"], "ext_pillar_first": True, "ext_pillar": [{"metalk8s_nodes": "/absent"}]})
print(json.dumps(pillar.declared_pillar(opts)))
"""


def test_declaration_is_found_beside_metalk8s_pillar(tmp_path: Path) -> None:
    """The MetalK8s pillar is in its own saltenv.

    Its top file matches on keys that only its external pillar provides.
    """
    tops = {
        "theirs": {
            THEIRS: {
                "*": ["repositories"],
                "metalk8s:nodes:boot:roles:master": [{"match": "pillar"}, "master"],
            }
        },
        "ours": {"base": {"boot_master": ["metalk8s_expand"]}},
    }
    texts = {
        "theirs/repositories": {"repo": {"local_mode": False}},
        "theirs/master": {"certificates": {}},
        "ours/metalk8s_expand": {"metalk8s_expand": {"nodes": {"w-1": {"profile": "worker"}}}},
    }
    for name, top in tops.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "top.sls").write_text(json.dumps(top))
    for name, text in texts.items():
        (tmp_path / f"{name}.sls").write_text(json.dumps(text))
    roots = {THEIRS: [str(tmp_path / "theirs")], "base": [str(tmp_path / "ours")]}
    found = run(PREPARED + DECLARED, tmp_path, extension.LIBRARY, file_roots={}, pillar_roots=roots)
    assert found == {"nodes": {"w-1": {"profile": "worker"}}}


FAILED_STATES = {
    "file_|-a_|-a_|-managed": {"result": True, "changes": {}, "comment": "", "__run_num__": 0, "__id__": "Write a", "name": "a"},
    "service_|-b_|-b_|-running": {"result": False, "changes": {}, "comment": "kubelet is dead", "__run_num__": 1, "__id__": "Run b", "name": "b"},
}  # fmt: skip
# The returns of minions by name and function, as Salt's client reports them.
REPLIES = {
    "w-silent saltutil.sync_all": {"failed": True},
    "w-broken state.highstate": {"ret": FAILED_STATES, "out": "highstate", "retcode": 2, "jid": "3"},
    "w-unrendered state.highstate": {"ret": ["Rendering SLS 'x' failed: Jinja variable 'y' is undefined"], "out": "highstate", "retcode": 1, "jid": "4"},
    "w-mute state.highstate": {"failed": True},
    "w-function saltutil.sync_all": {"ret": "'saltutil.sync_all' is not available.", "retcode": 254, "jid": "5"},
    "boot ps.pkill": {"ret": "The minion function caused an exception", "failed": True, "retcode": 0},
}  # fmt: skip
# By node: the text that the report must contain, or an empty text for success.
VERDICTS = {
    "w-good": "",
    "e-good": "",
    "e-degraded": "state 'Register host e-degraded as part of etcd cluster'",
    "w-broken": "state 'Run the highstate': on w-broken, state 'Run b': kubelet is dead (job 3)",
    "w-unrendered": "on w-unrendered: Rendering SLS 'x' failed: Jinja variable 'y' is undefined (job 4)",
    "w-mute": "state 'Run the highstate': on w-mute: it did not return",
    "w-silent": "state 'Sync module on the node': on w-silent: it did not return",
    "w-function": "on w-function: 'saltutil.sync_all' is not available. (job 5)",
    "w-returns": "state 'Wait minion available': the runner returned a failure: Minion failed to respond after 10 retries: w-returns",
    "w-raises": "state 'Wait minion available': Exception: Minion failed to respond after 10 retries: w-raises",
    "w-type": "state 'Wait minion available': Passed invalid arguments: unsupported operand",
    "w-unlabelled": "the orchestration returned no states",
}


@pytest.fixture(scope="module")
def chained(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run real orchestrations of the MetalK8s tree, each in its own process of Salt.

    Only the connection to the minions is a fake.
    """
    base = tmp_path_factory.mktemp("chain")
    for kind in ("modules", "runners", "states"):
        shutil.copytree(theirs / f"_{kind}", base / "ext" / kind)
    nodes = {
        name: {"version": "2.0", "roles": ["etcd"] if name.startswith("e-") else ["node"]}
        for name in VERDICTS
    }
    del nodes["w-unlabelled"]
    (base / "pillar").mkdir()
    (base / "empty").mkdir()
    (base / "pillar" / "top.sls").write_text(json.dumps({"base": {"boot_master": ["nodes"]}}))
    (base / "pillar" / "nodes.sls").write_text(json.dumps({"metalk8s": {"nodes": nodes}}))
    runs = [(name, THEIRS) for name in VERDICTS] + [("w-good", "metalk8s-9")]
    roots = {THEIRS: [str(theirs)], "metalk8s-empty": [str(base / "empty")]}
    return run(
        CHAIN, base, extension.LIBRARY, timeout=400, file_roots=roots, replies=REPLIES, runs=runs
    )


@pytest.mark.slow
class TestChain:
    @pytest.mark.parametrize("name", VERDICTS)
    def test_report_names_cause_of_failed_deployment(self, chained: Any, name: str) -> None:
        problems = chained[f"{name} {THEIRS}"]["problems"]
        if not VERDICTS[name]:
            assert problems == []
        else:
            [problem] = problems
            assert VERDICTS[name] in problem

    def test_deployment_runs_all_states_with_given_pillar(self, chained: Any) -> None:
        """The epoch in the pillar is harmless.

        The SLS of MetalK8s read the name and pass the whole pillar to the nested orchestration.
        """
        assert [name for name, ok in chained[f"e-good {THEIRS}"]["states"] if ok] == [
            "Sync module on the node", "Cordon the node", "Wait minion available", "Register the node into etcd cluster",
            "Run the highstate", "Uncordon the node", "Kill kube-controller-manager on all master nodes",
        ]  # fmt: skip

    def test_deployment_of_node_without_version_fails(self, chained: Any) -> None:
        assert "w-unlabelled" in chained[f"w-unlabelled {THEIRS}"]["problems"][0]

    def test_deployment_from_missing_saltenv_fails(self, chained: Any) -> None:
        [problem] = chained["w-good metalk8s-9"]["problems"]
        assert (
            "No matching sls found for 'metalk8s.orchestrate.deploy_node' in env 'metalk8s-9'"
            in problem
        )

    def test_unusable_saltenv_is_refused_before_start(self, chained: Any) -> None:
        assert chained["environments"]["problems"] == [
            "the saltenv metalk8s-9, needed to deploy w-2, does not exist on this master",
            "the saltenv metalk8s-empty, needed to deploy w-3, has no metalk8s.orchestrate.deploy_node",
        ]
        assert chained["environments"]["hint"].endswith("these saltenvs provide it: metalk8s-2.0")
