"""Render the SLS with Salt for the documented declaration.

Every requisite exists, and every fence is in its place.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from metalk8s_expand.domain.certificates import signing_policies
from tests.functional.sls_site import Chunk, Site

Low = Callable[[str, str, dict[str, Any]], list[Chunk]]
HAND: dict[str, Any] = {}
RUN = {"orchestrate": {"epoch": 6}}
PREPARING: dict[str, Any] = {"orchestrate": {"epoch": 6, "phase": "prepare"}}
JOINING: dict[str, Any] = {"orchestrate": {"epoch": 6, "phase": "join"}}
NEWER = {"orchestrate": {"epoch": 7}}

# The SLS of each minion.
ROLES = {
    "a worker": ("worker-1", "metalk8s.roles.node"),
    "an infra node": ("infra-1", "metalk8s.roles.node"),
    "a control-plane node": ("cp-1", "metalk8s.roles.etcd,metalk8s.roles.master"),
    "the bootstrap node": ("bootstrap", "metalk8s.roles.bootstrap"),
}
# The SLS that renews the certificates of each minion.
RENEWALS = {
    f"certificates of {minion}": (minion, "metalk8s.roles.certificates")
    for minion in ("worker-1", "cp-1", "bootstrap")
}
# These minions may lack the library of this version: a future minion, the API proxy of any node.
UNFENCED = {
    "a host over salt-ssh": ("cp-1", "metalk8s.roles.minion"),
    "another node's API proxy": ("worker-1", "metalk8s.roles.node.apiserver_proxy"),
}
# The two jobs of an expansion on the host of each node.
PHASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "prepare a worker": ("worker-1", "metalk8s.roles.prepared", PREPARING),
    "prepare a control-plane node": ("cp-1", "metalk8s.roles.prepared", PREPARING),
    "let a worker join": ("worker-1", "metalk8s.roles.node", JOINING),
    "let a control-plane node join": (
        "cp-1",
        "metalk8s.roles.node,metalk8s.roles.etcd,metalk8s.roles.master",
        JOINING,
    ),
}
DEPLOY_NODE = "metalk8s.orchestrate.deploy_node"
PREPARE_NODE = "metalk8s.orchestrate.prepare_node"
RENEW = "metalk8s.orchestrate.renew_certificates"
ONE: dict[str, Any] = {"orchestrate": {"node_name": "worker-1"}}
BY_HAND: dict[str, Any] = {"orchestrate": {"node_name": "cp-1"}}
PREPARED: dict[str, Any] = {"orchestrate": {"node_name": "cp-1", "epoch": 6, "prepared": True}}
DEPLOYMENTS: list[dict[str, Any]] = [
    BY_HAND,
    PREPARED,
    *(
        {"orchestrate": {"node_name": name, "epoch": epoch}}
        for name in ("cp-1", "etcd-1", "worker-1")
        for epoch in (None, 6)
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def low(site: Site) -> Low:
    """Return a function that renders an SLS for a minion with this pillar.

    The function returns the states in the order in which Salt runs them.
    """
    wanted = [
        (minion, sls, pillar)
        for minion, sls in {**ROLES, **RENEWALS, **UNFENCED}.values()
        for pillar in (HAND, RUN)
    ]
    wanted += [("bootstrap", RENEW, pillar) for pillar in (HAND, ONE, RUN)]
    wanted += [("bootstrap", DEPLOY_NODE, pillar) for pillar in DEPLOYMENTS]
    wanted += [("bootstrap", PREPARE_NODE, pillar) for pillar in DEPLOYMENTS]
    wanted += [("cp-1", "pillar", pillar) for pillar in (HAND, RUN)]
    wanted += list(PHASES.values())
    rendered: dict[str, Any] = {}
    for minion in {item[0] for item in wanted}:
        mine = [item for item in wanted if item[0] == minion]
        found = site.call(
            minion, *(("state.show_low_sls", [sls], {"pillar": pillar}) for _, sls, pillar in mine)
        )
        rendered.update(zip(map(json.dumps, mine), found, strict=True))

    def render(minion: str, sls: str, pillar: dict[str, Any]) -> list[Chunk]:
        found = rendered[json.dumps((minion, sls, pillar))]
        assert isinstance(found, list), found
        assert all(isinstance(chunk, dict) for chunk in found), found
        return found

    return render


def requisites(chunk: Chunk) -> Iterator[tuple[str, str]]:
    for kind in ("require", "watch", "onchanges", "require_in", "watch_in"):
        for item in chunk.get(kind, ()):
            yield from item.items()


def fences(chunks: list[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk["state"] == "metalk8s_expand_fence"]


def named(chunks: list[Chunk], identity: str) -> Chunk:
    [found] = [chunk for chunk in chunks if chunk["__id__"] == identity]
    return found


@pytest.mark.parametrize("pillar", [HAND, RUN], ids=["by hand", "by a run"])
@pytest.mark.parametrize("where", [*ROLES, *RENEWALS, *UNFENCED])
def test_every_requisite_exists(low: Low, where: str, pillar: dict[str, Any]) -> None:
    chunks = low(*{**ROLES, **RENEWALS, **UNFENCED}[where], pillar)
    there = {
        (chunk["state"], name) for chunk in chunks for name in (chunk["__id__"], chunk["name"])
    }
    assert [item for chunk in chunks for item in requisites(chunk) if item not in there] == []


@pytest.mark.parametrize("where", [*ROLES, *RENEWALS])
def test_fence_is_first_state_and_ends_job(low: Low, where: str) -> None:
    first = low(*{**ROLES, **RENEWALS}[where], RUN)[0]
    what = "renew its certificates" if where in RENEWALS else "change this host"
    assert (first["state"], first["fun"], first["__id__"]) == (
        "metalk8s_expand_fence",
        "admitted",
        f"Let no older run {what}",
    )
    assert first["failhard"] is True
    assert not list(requisites(first))


@pytest.mark.parametrize("where", ROLES)
@pytest.mark.parametrize(("pillar", "epoch"), [(HAND, None), (RUN, 6)], ids=["by hand", "by a run"])
def test_fence_and_etcd_states_get_epoch(
    low: Low, where: str, pillar: dict[str, Any], epoch: int | None
) -> None:
    chunks = low(*ROLES[where], pillar)
    asking = [
        chunk
        for chunk in chunks
        if chunk["state"] in ("metalk8s_expand_fence", "metalk8s_expand_etcd")
    ]
    assert {chunk.get("epoch") for chunk in asking} == {epoch}
    assert all("epoch" in chunk for chunk in asking)


@pytest.mark.parametrize("where", ["a control-plane node", "the bootstrap node"])
def test_fence_is_repeated_right_before_each_static_pod(low: Low, where: str) -> None:
    chunks = low(*ROLES[where], RUN)
    pods = [
        chunk
        for chunk in chunks
        if chunk["state"] == "metalk8s_expand_host" and "/etc/kubernetes/manifests" in chunk["name"]
    ]
    assert [pod["__id__"] for pod in pods] == [
        f"Run {name}"
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    for pod in pods:
        asked = named(chunks, pod["__id__"].replace("Run", "Let no older run start"))
        assert pod["require"] == [{"metalk8s_expand_fence": asked["__id__"]}]
        assert "failhard" not in asked, "what failed before it must not end the job"
    assert list(requisites(named(chunks, "Let no older run start etcd"))) == [
        ("file", "Write the static Pod etcd"), ("metalk8s_expand_etcd", "Add the etcd member as a learner"),
        ("metalk8s_expand_host", "Let the API know the kubelet"),
    ]  # fmt: skip
    needed = list(requisites(named(chunks, "Let no older run start kube-apiserver")))
    assert {
        ("file", "Write the static Pod kube-apiserver"),
        ("metalk8s_expand_etcd", "Promote the etcd member"),
    } <= set(needed)
    assert {
        ("metalk8s_expand_artifacts", "Import the images"),
        ("metalk8s_expand_certificates", "Have the certificates signed"),
    } <= set(needed)


def test_api_server_alone_waits_for_promotion(low: Low) -> None:
    chunks = low(*ROLES["a control-plane node"], RUN)
    promotion, etcd = (
        ("metalk8s_expand_etcd", "Promote the etcd member"),
        ("metalk8s_expand_host", "Run etcd"),
    )
    for name in ("kube-controller-manager", "kube-scheduler"):
        needed = list(requisites(named(chunks, f"Let no older run start {name}")))
        assert etcd in needed
        assert promotion not in needed
        assert named(chunks, f"Run {name}")["require_in"] == [dict([promotion])]
    assert promotion in list(requisites(named(chunks, "Let no older run start kube-apiserver")))


@pytest.mark.parametrize("where", UNFENCED)
def test_sls_for_minion_without_library_has_no_fence(low: Low, where: str) -> None:
    assert fences(low(*UNFENCED[where], RUN)) == []


@pytest.mark.parametrize("where", [*ROLES, *UNFENCED])
def test_states_hold_and_show_no_secret(low: Low, where: str) -> None:
    """Salt stores rendered states and their returns in files of its cache."""
    chunks = low(*{**ROLES, **UNFENCED}[where], RUN)
    assert "PRIVATE KEY" not in json.dumps(chunks)
    secret = [
        chunk
        for chunk in chunks
        if str(chunk.get("name")).endswith((".key", "/encryption.conf", ".conf"))
    ]
    private = [
        chunk for chunk in secret if chunk["state"] == "x509" or "/etc/kubernetes" in chunk["name"]
    ]
    assert {chunk["mode"] for chunk in private if "mode" in chunk} <= {"0600"}
    for chunk in private:
        if chunk["name"].endswith(("sa.key", "encryption.conf")) and chunk["state"] == "file":
            assert chunk["show_changes"] is False
            assert "contents" not in chunk


def test_encryption_key_is_generated_on_host(low: Low, tmp_path: Path) -> None:
    command = named(
        low(*ROLES["the bootstrap node"], RUN), "Draw the key that encrypts Secrets at rest"
    )["name"]
    path = tmp_path / "encryption.conf"
    keys = set()
    for _ in range(2):
        subprocess.run(
            ["sh", "-c", command.replace("/etc/kubernetes", str(tmp_path))],
            check=True,
            timeout=10,
            umask=0,
        )
        [resource] = yaml.safe_load(path.read_text())["resources"]
        keys.add(resource["providers"][0]["secretbox"]["keys"][0]["secret"])
        assert path.stat().st_mode & 0o777 == 0o600
    assert [len(base64.b64decode(key)) for key in keys] == [32, 32]
    assert not any(key in command for key in keys)


def test_epoch_is_merged_into_pillar_of_minion(low: Low) -> None:
    own, given = (low("cp-1", "pillar", pillar)[0]["pillar"] for pillar in (HAND, RUN))
    assert own["metalk8s"]["node"]["address"] == "10.200.0.11"
    assert given == {**own, **RUN}


class TestDeployNode:
    @pytest.mark.parametrize("pillar", DEPLOYMENTS, ids=json.dumps)
    def test_every_requisite_exists(self, low: Low, pillar: dict[str, Any]) -> None:
        chunks = low("bootstrap", DEPLOY_NODE, pillar)
        there = {(chunk["state"], chunk["__id__"]) for chunk in chunks}
        assert [item for chunk in chunks for item in requisites(chunk) if item not in there] == []

    @pytest.mark.parametrize(
        ("name", "roles", "proxies"),
        [
            ("cp-1", ["metalk8s.roles.etcd", "metalk8s.roles.master"], True),
            ("etcd-1", ["metalk8s.roles.etcd"], False),
            ("worker-1", [], False),
        ],
    )
    def test_node_joins_with_its_roles(
        self, low: Low, name: str, roles: list[str], proxies: bool
    ) -> None:
        chunks = low("bootstrap", DEPLOY_NODE, {"orchestrate": {"node_name": name, "epoch": 6}})
        joining = named(chunks, f"Let {name} join the cluster")
        assert joining["sls"] == ["metalk8s.roles.node", *roles]
        told = [chunk for chunk in chunks if chunk["__id__"].startswith("Let every API proxy")]
        assert bool(told) == proxies

    def test_jobs_of_node_get_epoch_and_phase_alone(self, low: Low) -> None:
        chunks = low("bootstrap", DEPLOY_NODE, {"orchestrate": {"node_name": "cp-1", "epoch": 6}})
        given = {chunk["__id__"]: chunk["pillar"] for chunk in chunks if chunk.get("pillar")}
        assert given == {"Prepare cp-1": PREPARING, "Let cp-1 join the cluster": JOINING}

    def test_manual_jobs_have_no_epoch(self, low: Low) -> None:
        found = [
            chunk["pillar"]["orchestrate"]
            for chunk in low("bootstrap", DEPLOY_NODE, BY_HAND)
            if "pillar" in chunk
        ]
        assert found == [{"phase": "prepare"}, {"phase": "join"}]

    def test_host_that_the_run_has_prepared_is_not_prepared_again(self, low: Low) -> None:
        whole = [chunk["__id__"] for chunk in low("bootstrap", DEPLOY_NODE, BY_HAND)]
        left = [chunk["__id__"] for chunk in low("bootstrap", DEPLOY_NODE, PREPARED)]
        preparation = [chunk["__id__"] for chunk in low("bootstrap", PREPARE_NODE, BY_HAND)]
        assert whole == preparation + left
        assert preparation == ["Let the CA know cp-1", "Run the minion of cp-1", "Prepare cp-1"]


class TestPhases:
    """One job prepares a host, and another lets it join the cluster."""

    @pytest.mark.parametrize("where", PHASES)
    def test_every_requisite_exists(self, low: Low, where: str) -> None:
        chunks = low(*PHASES[where])
        there = {
            (chunk["state"], name) for chunk in chunks for name in (chunk["__id__"], chunk["name"])
        }
        assert [item for chunk in chunks for item in requisites(chunk) if item not in there] == []

    @pytest.mark.parametrize("where", PHASES)
    def test_fence_comes_first(self, low: Low, where: str) -> None:
        assert low(*PHASES[where])[0]["__id__"] == "Let no older run change this host"

    @pytest.mark.parametrize("node", ["a worker", "a control-plane node"])
    def test_preparation_does_nothing_that_the_cluster_sees(self, low: Low, node: str) -> None:
        chunks = low(*PHASES[f"prepare {node}"])
        assert not [chunk for chunk in chunks if chunk["state"] == "metalk8s_expand_etcd"]
        assert not [chunk for chunk in chunks if chunk["__id__"] == "Run the kubelet"]
        started = [
            chunk
            for chunk in chunks
            if chunk["state"] == "metalk8s_expand_host"
            and "/etc/kubernetes/manifests" in chunk["name"]
        ]
        assert started == []

    def test_two_phases_do_all_that_one_job_does(self, low: Low) -> None:
        def done(chunks: list[Chunk]) -> set[str]:
            return {chunk["__id__"] for chunk in chunks}

        for node, where in (("a worker", "a worker"), ("a control-plane node",) * 2):
            apart = done(low(*PHASES[f"prepare {node}"])) | done(low(*PHASES[f"let {node} join"]))
            assert apart == done(low(*ROLES[where], RUN))

    def test_images_are_those_of_the_roles(self, low: Low) -> None:
        def images(where: str) -> set[str]:
            found = named(low(*PHASES[where]), "Import the images")["images"]
            return {image["url"].rpartition("/")[2].removesuffix(".tar") for image in found}

        common = {"pause", "kube-proxy", "flannel", "busybox"}
        assert images("prepare a worker") == common
        assert images("prepare a control-plane node") == common | {
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        }


def places(chunks: list[Chunk]) -> dict[str, str]:
    """Return the path of each signed certificate, by purpose."""
    signed = named(chunks, "Have the certificates signed")
    assert set(signed["contents"]) == set(signed["certificates"])
    return dict(signed["certificates"])


class TestCertificates:
    @pytest.mark.parametrize(
        ("minion", "roles"),
        [
            ("worker-1", ["node"]),
            ("infra-1", ["infra"]),
            ("cp-1", ["master", "etcd"]),
            ("bootstrap", ["bootstrap", "master", "etcd", "infra"]),
        ],
    )
    def test_roles_sign_paths_of_signing_policies(
        self, low: Low, minion: str, roles: list[str]
    ) -> None:
        """The roles request the certificates that the library lists, renews and reports."""
        [sls] = [sls for name, sls in ROLES.values() if name == minion]
        assert places(low(minion, sls, HAND)) == signing_policies.paths(roles)
        if minion != "infra-1":
            assert places(
                low(minion, "metalk8s.roles.certificates", HAND)
            ) == signing_policies.paths(roles)

    def test_renewal_changes_only_served_certificates(self, low: Low) -> None:
        chunks = low("cp-1", "metalk8s.roles.certificates", HAND)
        assert {(chunk["state"], chunk["fun"]) for chunk in chunks} == {
            ("metalk8s_expand_fence", "admitted"), ("file", "managed"),
            ("metalk8s_expand_certificates", "signed"), ("metalk8s_expand_certificates", "served"),
        }  # fmt: skip
        last = chunks[-1]
        assert (last["certificates"], last["address"]) == (
            signing_policies.paths(["master", "etcd"]),
            "10.200.0.11",
        )
        assert list(requisites(last)) == [
            ("metalk8s_expand_certificates", "Have the certificates signed")
        ]

    @pytest.mark.parametrize("pillar", [HAND, ONE, RUN], ids=["all", "one", "by a run"])
    def test_every_requisite_of_renewal_exists(self, low: Low, pillar: dict[str, Any]) -> None:
        chunks = low("bootstrap", RENEW, pillar)
        there = {(chunk["state"], chunk["__id__"]) for chunk in chunks}
        assert [item for chunk in chunks for item in requisites(chunk) if item not in there] == []
        assert {json.dumps(chunk["pillar"]) for chunk in chunks if chunk.get("pillar")} == (
            {json.dumps(RUN)} if pillar == RUN else set()
        )

    def test_control_plane_is_renewed_serially_and_other_nodes_in_batches(self, low: Low) -> None:
        chunks = low("bootstrap", RENEW, HAND)
        renewed = [chunk for chunk in chunks if chunk["__id__"].startswith("Renew")]
        assert [
            chunk["tgt"] if isinstance(chunk["tgt"], str) else len(chunk["tgt"])
            for chunk in renewed
        ] == [
            "bootstrap",
            "cp-1",
            12,
            12,
            6,
        ], "never as many as would keep all of the master's workers waiting for each other"
        assert ("metalk8s_expand_node", "See that bootstrap is well") in list(
            requisites(renewed[1])
        )
        assert list(requisites(named(chunks, "See that bootstrap is well"))) == [
            ("salt", "Renew the certificates of bootstrap")
        ]
        assert chunks[0]["__id__"] == "Let the CA know what it may sign"
        assert (chunks[-1]["__id__"], chunks[-1]["fun"]) == (
            "Reach the minions of w-98, w-99",
            "fail_without_changes",
        ), "minions that are down are named at the end, and delay no batch"
        assert "do not answer" in chunks[-1]["comment"]

    def test_renewal_of_single_node_targets_bootstrap_and_node(self, low: Low) -> None:
        assert [chunk["tgt"] for chunk in low("bootstrap", RENEW, ONE)] == [
            "bootstrap",
            ["worker-1"],
            ["worker-1"],
        ]


@pytest.fixture(scope="module")
def without_api(site: Site) -> dict[str, list[Any]]:
    """Render SLS for the CA's node and for cp-1 while the API does not answer."""
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }  # fmt: skip
    wanted = {
        "bootstrap": ["pillar"],
        "cp-1": ["pillar", "metalk8s.roles.certificates", "metalk8s.roles.etcd"],
    }
    place = site.base / "absent"
    place.write_text(json.dumps(kubeconfig))
    try:
        return {
            name: site.call(name, *(("state.show_low_sls", [sls], {}) for sls in found))
            for name, found in wanted.items()
        }
    finally:
        place.unlink()


@pytest.mark.slow
class TestUnavailableApi:
    """The API is unavailable.

    The cause may be an expired certificate of the administrator or of the API servers.
    """

    def test_renewal_is_rendered_but_etcd_role_is_not(
        self, without_api: dict[str, list[Any]]
    ) -> None:
        pillar, renewal, etcd = without_api["cp-1"]
        assert "127.0.0.1" in pillar[0]["pillar"]["metalk8s"]["api_error"]
        assert places(renewal) == signing_policies.paths(["master", "etcd"])
        assert all(isinstance(line, str) for line in etcd), "it needs to know the other members"

    def test_ca_keeps_signing_policies_of_declared_nodes(
        self, without_api: dict[str, list[Any]]
    ) -> None:
        policies = without_api["bootstrap"][0][0]["pillar"]["x509_signing_policies"]
        assert {"bootstrap/admin", "cp-1/etcd-peer", "worker-1/kubelet-server"} <= set(policies)


@pytest.fixture(scope="module")
def applied(site: Site) -> dict[str, list[Chunk]]:
    """Return the results on a host that has recorded epoch 7, in the order of execution."""
    site.epoch.write_text("7\n")
    jobs: dict[str, tuple[str, list[str], dict[str, Any]]] = {
        "older": ("state.apply", ["host"], {"pillar": RUN}),
        "same": ("state.apply", ["host"], {"pillar": NEWER}),
        "by hand": ("state.apply", ["host"], {"pillar": HAND}),
        # Without test=True, a mistake would change this machine.
        "member": ("state.apply", ["member"], {"pillar": RUN, "test": True}),
    }
    found = site.call("cp-1", *jobs.values())
    assert all(isinstance(states, dict) for states in found), found
    by_number = [
        sorted(states.values(), key=lambda state: int(state["__run_num__"])) for states in found
    ]
    assert site.epoch.read_text() == "7\n"
    return dict(zip(jobs, by_number, strict=True))


class TestApplied:
    """The real macros around harmless states."""

    def test_refusing_fence_prevents_all_states(self, applied: dict[str, list[Chunk]]) -> None:
        [refused] = applied["older"]
        assert refused["result"] is False
        assert (
            "this job has the epoch 6, but a job with the epoch 7 has already run on this host"
            in refused["comment"]
        )

    @pytest.mark.parametrize("job", ["same", "by hand"])
    def test_admitting_fence_changes_nothing(
        self, applied: dict[str, list[Chunk]], job: str
    ) -> None:
        assert [state["result"] for state in applied[job]] == [True] * 5
        assert [
            state["changes"] for state in applied[job] if "Let no older run" in state["__id__"]
        ] == [{}, {}]

    def test_older_job_does_not_change_etcd_member(self, applied: dict[str, list[Chunk]]) -> None:
        assert [(state["result"], state["changes"]) for state in applied["member"]] == [
            (False, {}),
            (False, {}),
        ]
        assert all(
            "the epoch 6, but a job with the epoch 7" in state["comment"]
            for state in applied["member"]
        )
