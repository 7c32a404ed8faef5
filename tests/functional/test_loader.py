"""Load every plugin with Salt's own loader, installed and synced.

The plugins refuse to load with both installations, and report the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("modules", "output", "pillar", "roster", "runners", "states", "utils")

PROGRAM = """
import json, sys
import salt.config, salt.loader
base = sys.argv[1]
values = {"extension_modules": base + "/ext", "cachedir": base + "/cache", "root_dir": base, "id": "lab_master",
          "pillar_roots": {"base": [base]}, "metalk8s_expand": {"kubeconfig": base + "/absent"}, "test": True}
opts = salt.config.minion_config(None)
opts.update(salt.config.master_config(None))
opts.update(values)
opts["grains"] = {"kernel": "Linux", "os": "Debian", "os_family": "Debian"}
utils = salt.loader.utils(opts)
modules = salt.loader.minion_mods(opts, utils=utils)
loaders = {
    "modules": modules,
    "pillar": salt.loader.pillars(opts, modules),
    "roster": salt.loader.roster(opts, runner={}, utils=utils),
    "runners": salt.loader.runner(opts, utils=utils),
    "states": salt.loader.states(opts, modules, utils, serializers=None),
}
asked = {
    "modules": ["metalk8s_expand_ca.sign", "metalk8s_expand_cluster.node", "metalk8s_expand_host.probe"],
    "pillar": ["metalk8s_expand"],
    "roster": ["metalk8s_expand.targets", "kubernetes.targets"],
    "runners": ["metalk8s_expand.plan"],
    "states": ["metalk8s_expand_etcd.member_added", "metalk8s_expand_fence.admitted", "metalk8s_expand_key.accepted",
               "metalk8s_expand_node.verified", "metalk8s_expand.expanded", "metalk8s_expand.added",
               "metalk8s_expand_artifacts.unpacked", "metalk8s_expand_artifacts.imported",
               "metalk8s_expand_certificates.served", "metalk8s_expand_certificates.signed",
               "metalk8s_expand_minion.running"],
}
loaded = {f"{kind}/{name}": name in loaders[kind] for kind, names in asked.items() for name in names}
# Pillars are wrapped.
plain = {kind: loader if hasattr(loader, "missing_fun_string") else loader._dict for kind, loader in loaders.items()}
missing = {
    f"{kind}/{name}": plain[kind].missing_fun_string(name)
    for kind, names in asked.items() for name in names if not loaded[f"{kind}/{name}"]
}
found = {"loaded": loaded, "missing": missing, "python": sys.executable}
if "metalk8s_expand" in sys.modules:
    found["library"] = sys.modules["metalk8s_expand"].__file__
if loaded["runners/metalk8s_expand.plan"]:
    runners = loaders["runners"]
    found["functions"] = sorted(name for name in runners if name.startswith("metalk8s_expand."))
    found["undocumented"] = [name for name in found["functions"] if "CLI Example" not in (runners[name].__doc__ or "")]
    found["plan"] = runners["metalk8s_expand.plan"]()
    found["trees"] = runners["metalk8s_expand.trees"]()
print(json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out the extension modules as ``saltutil.sync_all`` does."""
    base = tmp_path_factory.mktemp("synced")
    for kind in KINDS:
        shutil.copytree(
            ROOT / "salt" / f"_{kind}",
            base / "ext" / kind,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return base


def load(base: Path, site: Path | None = None) -> Any:
    """Return the plugins that Salt loads from this root directory and this site directory."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    command = [sys.executable, "-c", PROGRAM, str(base)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=environment, cwd=base, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def in_site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(tmp_path_factory.mktemp("empty"), wheel)


@pytest.fixture(scope="module")
def in_sync(synced: Path) -> Any:
    return load(synced)


@pytest.fixture(scope="module", params=["installed", "synced"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("in_site" if request.param == "installed" else "in_sync")


def test_every_plugin_loads(mode: Any) -> None:
    assert mode["missing"] == {}
    assert set(mode["loaded"].values()) == {True}


def test_library_is_imported_from_installation_of_plugins(
    in_site: Any, in_sync: Any, wheel: Path, synced: Path
) -> None:
    assert Path(in_site["library"]).is_relative_to(wheel)
    assert Path(in_sync["library"]).is_relative_to(synced)


def test_runner_has_all_documented_functions(mode: Any) -> None:
    public = (
        "add_node",
        "check_ssh",
        "declare",
        "expand",
        "health",
        "host_keys",
        "logs",
        "manifest",
        "plan",
        "preflight",
        "register",
        "remove_node",
        "report",
        "request",
        "status",
        "stop",
        "trees",
        "work",
    )
    assert set(mode["functions"]) >= {f"metalk8s_expand.{name}" for name in public}
    assert mode["undocumented"] == []


def test_runner_reports_missing_pillar(mode: Any) -> None:
    assert mode["plan"]["retcode"] == 2
    assert "the pillar of lab_master has no key metalk8s_expand" in mode["plan"]["error"]["message"]


def test_installed_trees_have_documented_names(in_site: Any) -> None:
    tree = in_site["trees"]["packaged"]
    assert (Path(tree) / "metalk8s" / "orchestrate" / "deploy_node.sls").is_file()
    assert (Path(tree) / "metalk8s" / "roles" / "minion.sls").is_file()
    assert (Path(tree) / "metalk8s" / "reactor" / "metalk8s_expand_add.sls").is_file()


def test_tree_beside_metalk8s_serves_no_metalk8s_name(in_site: Any) -> None:
    tree = Path(in_site["trees"]["packaged_beside"])
    assert [path.name for path in tree.iterdir() if path.suffix != ".py"] == ["metalk8s_expand"]
    assert (tree / "metalk8s_expand" / "expand.sls").is_file()


def test_double_installation_is_refused_with_reason(wheel: Path, synced: Path) -> None:
    found = load(synced, wheel)
    assert {name: value for name, value in found["loaded"].items() if value} == {}
    assert all("is there twice" in reason for reason in found["missing"].values()), found["missing"]
    assert all("pip uninstall metalk8s-expand" in reason for reason in found["missing"].values())


def test_missing_installation_loads_no_plugin(tmp_path: Path) -> None:
    assert set(load(tmp_path)["loaded"].values()) == {False}


OLD_MASTER = """
import sys
import salt.version
from salt.scripts import salt_run
version = salt.version.SaltStackVersion.parse(sys.argv.pop(1))
salt.version.__saltstack_version__ = version
if sys.argv.pop(1) == "old-python":
    sys.version_info = (3, 6, 8, "final", 0)
sys.exit(salt_run())
"""


@pytest.mark.parametrize(
    ("salt", "python", "found"),
    [
        ("3002.9", "old-python", "Salt 3002 and Python 3.6"),
        ("3004", "new-python", "Salt 3004"),
    ],
)
def test_old_master_prints_reason_in_one_sentence(
    synced: Path, tmp_path: Path, salt: str, python: str, found: str
) -> None:
    # Salt prepends root_dir to a path that is outside of it.
    (tmp_path / "ext").symlink_to(synced / "ext")
    config = {"root_dir": str(tmp_path), "extension_modules": str(tmp_path / "ext"), "id": "m",
              "log_level": "error", "log_level_logfile": "quiet"}  # fmt: skip
    (tmp_path / "master").write_text(json.dumps(config))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = [salt, python, "-c", str(tmp_path), "metalk8s_expand.status"]
    done = subprocess.run(
        [sys.executable, "-c", OLD_MASTER, *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    printed = " ".join((done.stdout + done.stderr).split())
    sentence = (
        "metalk8s_expand needs Salt 3006 and Python 3.10 or newer, and this master has"
        f" {found}: use it on MetalK8s 134 or newer"
    )
    assert printed.count(sentence) == 1, printed
    assert "Traceback" not in printed


OUTCOMES = """
from metalk8s_expand.boundary import state_boundary
from metalk8s_expand.errors import QuorumError

@state_boundary
def nothing(name): return {}
@state_boundary
def none(name): return None
@state_boundary
def mapping(name, depth=1): return {"depth": {"old": 0, "new": depth}}
@state_boundary
def sentence(name): return "it is changed"
@state_boundary
def listed(name): return ["one", "two"]
@state_boundary
def fails(name): raise QuorumError("no quorum", node="w-1", hint="wait")
"""

# name: result, result under test=True, changes
ROWS: dict[str, tuple[bool, bool | None, Any]] = {
    "nothing": (True, True, {}),
    "none": (True, True, {}),
    "mapping": (True, None, {"depth": {"old": 0, "new": 3}}),
    "sentence": (True, None, {"changes": "it is changed"}),
    "listed": (True, None, {"changes": ["one", "two"]}),
    "fails": (False, False, {}),
}


@pytest.fixture(scope="module")
def applied(synced: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Any]:
    """Apply every row with ``salt-call --local state.apply``, under test=False and test=True."""
    base = tmp_path_factory.mktemp("minion")
    shutil.copytree(synced / "ext", base / "ext")
    (base / "ext" / "states" / "outcomes.py").write_text(OUTCOMES)
    rows: dict[str, Any] = {f"row {name}": {f"outcomes.{name}": [{"name": name}]} for name in ROWS}
    rows["row mapping"]["outcomes.mapping"].append({"depth": 3})
    # Only under test=True: these states would change this machine.
    member = [{"name": "cp-1"}, {"address": "127.0.0.1"}, {"endpoints": []}, {"new_cluster": True}]
    ours = {
        "ours etcd": {"metalk8s_expand_etcd.member_added": member},
        "ours verified": {"metalk8s_expand_node.verified": [{"name": "w-1"}]},
    }
    (base / "states").mkdir()
    (base / "states" / "rows.sls").write_text(json.dumps(rows))
    (base / "states" / "ours.sls").write_text(json.dumps(ours))
    config = {"root_dir": str(base), "extension_modules": str(base / "ext"), "file_roots": {"base": [str(base / "states")]},
              "file_client": "local", "id": "m", "log_level": "quiet", "log_level_logfile": "quiet", "state_output": "full"}  # fmt: skip
    (base / "minion").write_text(json.dumps(config))

    # The run may have installed the package on PYTHONPATH. That would be a double installation.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def apply(sls: str, test: bool) -> Any:
        program = str(Path(sys.executable).with_name("salt-call"))
        command = [
            program,
            "-c",
            str(base),
            "--local",
            "--out=json",
            "state.apply",
            sls,
            f"test={test}",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        found = json.loads(done.stdout)["local"]
        assert isinstance(found, dict), found
        return {key.split("_|-")[1]: state for key, state in found.items()}

    return {False: apply("rows", False), True: {**apply("rows", True), **apply("ours", True)}}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("test", [False, True])
def test_state_reports_result_and_changes(applied: dict[bool, Any], name: str, test: bool) -> None:
    found = applied[test][f"row {name}"]
    assert found["result"] is ROWS[name][test]
    assert found["changes"] == ROWS[name][2]


def test_failure_of_state_names_next_action(applied: dict[bool, Any]) -> None:
    assert applied[False]["row fails"]["comment"] == "node w-1: no quorum\n  do next: wait"


def test_states_of_extension_report_changes_under_test(applied: dict[bool, Any]) -> None:
    etcd = applied[True]["ours etcd"]
    assert etcd["result"] is None
    assert etcd["changes"] == {"changes": ["start a new etcd cluster with cp-1 as its only member"]}
    assert applied[True]["ours verified"]["result"] is True
