"""Check the declaration and the hosts, and show saved data, without changing anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalk8s_expand.clients.salt import cache
from metalk8s_expand.cluster import roster
from metalk8s_expand.commands import arguments
from metalk8s_expand.commands.arguments import ExpandRequest, Names
from metalk8s_expand.commands.context import Call, Result
from metalk8s_expand.domain.node.manifest import manifest
from metalk8s_expand.domain.reports import preflight as preflight_report
from metalk8s_expand.domain.reports import run as report
from metalk8s_expand.domain.reports import ssh
from metalk8s_expand.errors import ExpandError, SettingsError, UnreachableError
from metalk8s_expand.preflight.ssh import Checked, check_ssh

DEPLOYMENT = "metalk8s/orchestrate/deploy_node.sls"


class Looking(Call):
    """The commands that an operator runs before and after an expansion."""

    def manifest(self, name: str, overrides: Mapping[str, Any] | None = None) -> str:
        """See the runner."""
        import yaml

        node = arguments.with_node(self._settings(), name, overrides or {}).node(name)
        return str(yaml.safe_dump(manifest(node), sort_keys=False, default_flow_style=False))

    def check_ssh(self, nodes: Names = None, profiles: Names = None) -> Result:
        """See the runner."""
        declared, names = ExpandRequest.of(nodes, profiles).settled(self._settings())
        hosts = roster.ssh_targets(declared.chosen(names), roster.access_from(self.opts, declared))
        answers = check_ssh(hosts, declared.ssh_timeout, declared.ssh_parallel)
        unreachable = {
            name: found for name, found in answers.items() if isinstance(found, ExpandError)
        }
        reached = {
            name: found.as_dict() for name, found in answers.items() if isinstance(found, Checked)
        }
        data = {
            "reached": reached,
            "unreachable": {name: error.as_dict() for name, error in unreachable.items()},
            "warnings": roster.host_key_warnings(self.opts),
            "retcode": UnreachableError.retcode if unreachable else 0,
        }
        return self._shown(ssh.render_ssh, data)

    def preflight(self, nodes: Names = None, profiles: Names = None) -> Result:
        """See the runner."""
        declared, names = ExpandRequest.of(nodes, profiles).settled(self._settings())
        reached = self._batch(declared).look(declared.chosen(names))
        return self._shown(preflight_report.render_preflight, reached.as_dict())

    def report(self, run: str | None) -> Result:
        """See the runner."""
        kept = {path.stem.removeprefix("report-"): path for path in cache.reports(self.opts)}
        name = str(run) if run else next(reversed(kept), "")
        if name not in kept:
            raise SettingsError(
                f"there is no report {name!r}",
                hint="the runs are in: salt-run metalk8s_expand.status",
            )
        return self._shown(
            report.render_report, json.loads(kept[name].read_text(encoding="utf-8")), judge=False
        )

    def trees(self) -> Result:
        """See the runner."""
        library = Path(sys.modules["metalk8s_expand"].__file__ or "").resolve().parent
        packaged, beside = library / "srv" / "salt", library / "srv" / "beside"
        served = {
            saltenv: [str(root) for root in roots if (Path(root) / DEPLOYMENT).is_file()]
            for saltenv, roots in (self.opts.get("file_roots") or {}).items()
        }
        return {
            "library": str(library),
            "packaged": str(packaged) if packaged.is_dir() else None,
            "packaged_beside": str(beside) if beside.is_dir() else None,
            "served": {saltenv: roots for saltenv, roots in served.items() if roots},
        }
