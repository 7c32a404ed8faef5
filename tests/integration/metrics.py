"""Requests from the metrics of an API server."""

from __future__ import annotations

import re
from collections import Counter

from metalk8s_expand.clients.kubernetes.objects import Kube

_SAMPLE = re.compile(r"apiserver_request_total{(?P<labels>[^}]*)} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_READS = ("GET", "LIST", "WATCH")

Requests = Counter[tuple[str, str]]


def requests(kube: Kube, *resources: str) -> Requests:
    """Return the number of requests for these resources, by verb and resource.

    The API server counts from its start; dry runs are left out.
    """
    found: Requests = Counter()
    for sample in _SAMPLE.finditer(kube.text("/metrics")[1]):
        labels = dict(_LABEL.findall(sample["labels"]))
        if labels["resource"] in resources and not labels["dry_run"]:
            found[labels["verb"], labels["resource"]] += int(float(sample["value"]))
    return found


def writes(found: Requests) -> Requests:
    """Return the requests that change an object."""
    return Counter({key: count for key, count in found.items() if key[0] not in _READS})
