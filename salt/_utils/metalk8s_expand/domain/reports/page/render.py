"""Assemble the page of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalk8s_expand.domain.reports.earlier_runs import digest_of
from metalk8s_expand.domain.reports.page import header, outcome
from metalk8s_expand.domain.reports.page.cluster import render_cluster
from metalk8s_expand.domain.reports.page.comparison import render_comparison
from metalk8s_expand.domain.reports.page.differences import render_differences
from metalk8s_expand.domain.reports.page.failures import (
    NOT_DONE,
    render_failures,
    render_notes,
)
from metalk8s_expand.domain.reports.page.markup import Markup, element
from metalk8s_expand.domain.reports.page.steps import render_steps
from metalk8s_expand.domain.reports.page.style import STYLE

Object = Mapping[str, Any]

# The page loads nothing and runs no script, also if a value escaped wrongly.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
# The parts that a reader may go to, by their IDs.
PARTS = {
    "failures": "Failures",
    "notes": "Notes",
    "cluster": "Cluster",
    "timeline": "Timeline",
    "differences": "Differences",
    "comparison": "Earlier runs",
}


def render_page(report: Object, earlier: Sequence[Object] = ()) -> str:
    """Return the page of a report as one HTML document without references to other files.

    ``earlier`` are values of ``digest_of`` for the runs to compare with, the oldest first.
    """
    parts = {
        "failures": render_failures(report),
        "notes": render_notes(report),
        "cluster": render_cluster(report),
        "timeline": render_steps(report),
        "differences": render_differences(report),
        "comparison": render_comparison(digest_of(report), earlier),
    }
    shown = {name: part for name, part in parts.items() if part}
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{header.title(report)}: {header.summary(report)}"),
        element("style", Markup(STYLE)),
    )
    body = element(
        "body",
        element("a", "Skip to the result", href="#main", class_="skip"),
        element(
            "div",
            header.render_header(report),
            _navigation(shown, report),
            element("main", header.render_numbers(report), shown.values(), id="main"),
            _footer(report),
            class_="page",
        ),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _navigation(shown: Mapping[str, Markup], report: Object) -> Markup | None:
    titles = dict(PARTS)
    if outcome.verdict(report) != outcome.FAILED:
        titles["failures"] = NOT_DONE
    links = []
    for name in shown:
        links.append(element("li", element("a", titles[name], href=f"#{name}")))
    if len(links) < 2:
        return None
    return element("nav", element("ul", links), aria_label="Parts of the report")


def _footer(report: Object) -> Markup:
    run = report.get("id")
    return element(
        "footer",
        element(
            "p",
            f"The data of this page: report-{run}.json beside it, or ",
            element("code", f"salt-run metalk8s_expand.report {run} --out=json"),
            ".",
        ),
    )
