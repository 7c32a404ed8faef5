"""Client of etcd's gRPC gateway (JSON over HTTPS).

It uses the standard library only, so that it works on a fresh minion.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from metalk8s_expand.domain.etcd.quorum import CLIENT_PORT, Alarm, Member
from metalk8s_expand.domain.parsing.addresses import canonical_url
from metalk8s_expand.errors import ConflictError, ExpandError, UnreachableError, visible

PKI = "/etc/kubernetes/pki/etcd"
LIST = "/v3/cluster/member/list"
# Learners refuse a linearizable list, and so does a voter that has lost its leader.
SERIALIZABLE = {"linearizable": False}


@dataclass(frozen=True)
class Credentials:
    """Paths of a client certificate that etcd accepts."""

    ca: str = f"{PKI}/ca.crt"
    cert: str = f"{PKI}/healthcheck-client.crt"
    key: str = f"{PKI}/healthcheck-client.key"


class Etcd:
    """The members behind some client URLs.

    Voters return the list of members (learners refuse it), and every member returns its status.
    """

    def __init__(
        self, urls: Sequence[str], credentials: Credentials | None = None, timeout: float = 5.0
    ) -> None:
        self.urls = tuple(urls)
        self.timeout = timeout
        self._paths = credentials or Credentials()
        self._context: ssl.SSLContext | None = None

    def members(self) -> list[Member]:
        """Return every member with its health; ``healthy`` is None when the member does not answer.

        Each voter returns its own list as well. A voter whose list differs from the first one is
        not healthy.
        """
        listed = self._listed()
        with ThreadPoolExecutor(max_workers=8) as pool:
            return list(pool.map(lambda item: self._with_status(item, listed), listed))

    def add_learner(self, peer_url: str) -> int:
        """Add a learner and return its ID. Raises ConflictError when etcd refuses."""
        answer = self._any("/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})
        return int(answer["member"]["ID"])

    def promote(self, member_id: int) -> None:
        """Make a learner a voter. Raises ConflictError while etcd finds it not in sync."""
        self._any("/v3/cluster/member/promote", {"ID": str(member_id)})

    def remove(self, member_id: int) -> None:
        """Remove a member."""
        self._any("/v3/cluster/member/remove", {"ID": str(member_id)})

    def catch_up(self, url: str) -> None:
        """Return when this member has all acknowledged writes; it must ask the leader.

        Raises UnreachableError when it cannot, because etcd has no quorum.
        """
        self._post(url, "/v3/kv/range", {"key": base64.b64encode(b"health").decode()})

    def leader(self) -> int:
        """Return the leader's ID from the first voter that knows it; 0 when no voter does."""
        for item in self._listed():
            if item.get("clientURLs") and not item.get("isLearner"):
                with suppress(ExpandError):
                    status = self._post(item["clientURLs"][0], "/v3/maintenance/status", {})
                    if int(status.get("leader", 0)):
                        return int(status["leader"])
        return 0

    def move_leader(self, leader_id: int, target_id: int) -> None:
        """Transfer leadership to another voter; only the leader itself can do this.

        Raises ConflictError when the member is no longer the leader.
        """
        urls: list[str] = []
        for item in self._listed():
            if int(item["ID"]) == leader_id:
                urls.extend(map(str, item.get("clientURLs") or ()))
        if not urls:
            raise ConflictError(
                f"etcd has no started member {leader_id:x} that can transfer the leadership"
            )
        self._post(urls[0], "/v3/maintenance/transfer-leadership", {"targetID": str(target_id)})

    def _listed(self) -> list[dict[str, Any]]:
        return list(self._any(LIST, SERIALIZABLE).get("members") or [])

    def _with_status(self, item: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> Member:
        member = Member(
            id=int(item["ID"]),
            name=visible(item.get("name", "")),
            peer_urls=tuple(canonical_url(visible(url)) for url in item.get("peerURLs") or ()),
            learner=bool(item.get("isLearner", False)),
            healthy=None,
            cluster_id=None,
            raft_index=None,
            applied_index=None,
            error=None,
        )
        urls = tuple(item.get("clientURLs") or ())
        if not urls:
            return replace(member, error="it has not started: it has no client URL")
        member = replace(member, client_url=visible(urls[0]))
        try:
            status = self._post(urls[0], "/v3/maintenance/status", {})
            own = (
                listed
                if member.learner
                else self._post(urls[0], LIST, SERIALIZABLE).get("members") or []
            )
        except ExpandError as exc:
            return replace(member, error=exc.message)
        observed = _observed(member, status)
        if _identities(own) == _identities(listed):
            return observed
        return replace(
            observed,
            healthy=False,
            error="its member list differs from that of the first voter that was asked",
        )

    def _any(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the first answer of any endpoint.

        A refusal is not final: a learner refuses a request that the next voter serves. Raises
        ConflictError when every endpoint that answered refused, UnreachableError when none
        answered.
        """
        refusals: list[str] = []
        problems: list[str] = []
        for url in self.urls:
            try:
                return self._post(url, path, body)
            except ConflictError as exc:
                refusals.append(exc.message)
            except UnreachableError as exc:
                problems.append(exc.message)
        if refusals:
            raise ConflictError("; ".join([*refusals, *problems]))
        raise UnreachableError(
            f"no etcd member answers {path}: " + ("; ".join(problems) or "no endpoint is known"),
            hint="check the etcd Pods on the control-plane nodes",
            log="/var/log/pods/kube-system_etcd-*/etcd/*.log on the control-plane nodes",
        )

    def _post(self, url: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        parts = urlsplit(url)
        try:
            connection = http.client.HTTPSConnection(
                parts.hostname or "",
                parts.port or CLIENT_PORT,
                timeout=self.timeout,
                context=self.tls(),
            )
            try:
                connection.request(
                    "POST", path, json.dumps(body), {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                text = response.read().decode("utf-8", "replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as exc:
            raise UnreachableError(f"etcd at {url} does not answer: {exc}") from exc
        return _answer(url, path, response.status, text)

    def tls(self) -> ssl.SSLContext:
        """Return the TLS context of the connections."""
        if self._context is None:
            context = ssl.create_default_context(cafile=self._paths.ca)
            context.load_cert_chain(self._paths.cert, self._paths.key)
            self._context = context
        return self._context


def _identities(listed: Sequence[Mapping[str, Any]]) -> set[tuple[str, bool]]:
    return {(str(item["ID"]), bool(item.get("isLearner", False))) for item in listed}


# gRPC codes of a member that is up but cannot serve (no leader, a learner, stopping, too slow):
# they count as unreachable.
_UNAVAILABLE = frozenset({4, 14})


def _answer(url: str, path: str, status: int, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = {}
    if status == 200 and isinstance(value, dict):
        return value
    reason = str(value.get("message") or text[:300]) if isinstance(value, dict) else text[:300]
    if not isinstance(value, dict) or value.get("code") in _UNAVAILABLE:
        raise UnreachableError(f"etcd at {url} cannot serve {path}: {reason}")
    raise ConflictError(f"etcd at {url} refuses {path}: {reason}")


# A member lists the alarms of the cluster among its errors, as the text of the protobuf message.
# The endpoint for alarms is no replacement: it needs the quorum.
_ALARM = re.compile(r"\s*memberID:\s*(\d+)\s+alarm:\s*(\w+)\s*")


def _observed(member: Member, status: Mapping[str, Any]) -> Member:
    errors: list[str] = []
    alarms: list[Alarm] = []
    for item in status.get("errors") or ():
        alarm = _ALARM.fullmatch(str(item))
        if alarm:
            alarms.append(Alarm(int(alarm[1]), alarm[2]))
        else:
            errors.append(str(item))
    leader = int(status.get("leader", 0))
    if not leader:
        errors.append("it has no leader")
    return replace(
        member,
        healthy=not errors,
        learner=bool(status.get("isLearner", member.learner)),
        cluster_id=int(status["header"]["cluster_id"]),
        leads=leader == member.id,
        db_size=int(status["dbSize"]) if "dbSize" in status else None,
        raft_index=int(status.get("raftIndex", 0)),
        applied_index=int(status.get("raftAppliedIndex", 0)),
        error="; ".join(errors) or None,
        alarms=tuple(alarms),
    )
