"""The page of a run: its parts, its facts, its size, and that every value is shown as text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalk8s_expand.domain.reports.earlier_runs import digest_of
from metalk8s_expand.domain.reports.page.render import render_page
from metalk8s_expand.domain.reports.run import Report
from tests.fakes import run_reports

VOID = {"meta", "br", "hr"}
SCRIPT = "<script>alert(1)</script>"


class Page(HTMLParser):
    """A parsed page: elements, IDs, text; it fails on an element that is not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def sections(self) -> list[str | None]:
        return [item["id"] for item in self.all("section") if "id" in item]


@pytest.mark.parametrize(
    ("report", "sections", "words"),
    [
        (run_reports.expansion(), ["notes", "cluster", "timeline", "differences"],
         ["Succeeded", "4 nodes added, 1 unchanged", "1 → 3", "survives 1 failure", "4 of 4"]),
        (run_reports.failed(), ["failures", "notes", "cluster", "timeline", "differences"],
         ["3 nodes added, 1 failed, 1 skipped", "the learner cp-2 has not started",
          "its etcd learner cp-2 was removed", "NodeStatusUnknown", "cp-3",
          f"salt-run jobs.lookup_jid {run_reports.JOB}", "salt-run metalk8s_expand.expand"]),
        (run_reports.stopped(), ["failures", "notes", "cluster", "timeline", "differences"],
         ["Stopped", "1 stopped", "before the step verify", "Not done"]),
        (run_reports.removal(), ["notes", "cluster", "timeline", "differences"],
         ["Removal of cp-2", "1 node removed", "3 → 2", "the reason of drain", "Quorum guard",
          "survives no failure"]),
        (Report("r", (), 0.0, 1.0, True).as_dict(), [], ["There was nothing to do"]),
        (Report("r", (), 0.0, 1.0, False, 8, ("CoreDNS: 0 of 2 replicas",)).as_dict(),
         ["failures", "notes"], ["CoreDNS: 0 of 2 replicas"]),
    ],
    ids=["success", "failure", "stop", "removal", "empty", "cluster problem"],
)  # fmt: skip
def test_page_has_parts_and_facts(report: Any, sections: list[str], words: list[str]) -> None:
    page = Page(render_page(report))
    assert page.sections == sections
    assert [word for word in words if word not in page.text] == []


def test_result_comes_first_and_failures_before_the_rest() -> None:
    text = Page(render_page(run_reports.failed())).text
    order = ["Failed", "Nodes done", "Failures and next command", "The cluster before", "Critical"]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)


def test_last_node_is_the_one_that_ends_last() -> None:
    """A control-plane node waits for its turn; infra-1 works longer, and ends before it."""
    assert "last node: cp-2" in Page(render_page(run_reports.expansion())).text


def test_page_is_accessible_in_structure() -> None:
    page = Page(render_page(run_reports.failed(), [digest_of(run_reports.expansion())]))
    tags = [tag for tag, _ in page.elements]
    assert {tag: tags.count(tag) for tag in ("html", "header", "nav", "main", "footer", "h1")} == {
        "html": 1, "header": 1, "nav": 1, "main": 1, "footer": 1, "h1": 1,
    }  # fmt: skip
    assert page.all("html") == [{"lang": "en"}]
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert tags.count("caption") == tags.count("table") > 3
    pictures = [item for item in page.all("svg") if item.get("role") == "img"]
    assert len(pictures) == tags.count("desc") > 0
    links = [str(item["href"]).removeprefix("#") for item in page.all("a")]
    ids = [item["id"] for _, item in page.elements if "id" in item]
    assert set(links) <= set(ids)
    assert len(ids) == len(set(ids))


def test_page_refers_to_no_other_file_and_has_no_script() -> None:
    text = render_page(run_reports.fleet(60), [digest_of(run_reports.expansion())])
    assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|url\(|@import|\bon[a-z]+=", text)
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_page_of_a_fleet_is_small_and_shows_what_is_alike_once() -> None:
    report = run_reports.fleet(1000)
    text = render_page(report)
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    assert page.text.count("✕ failed DeployError") == 1
    assert "333 nodes" in page.text
    assert "ADDRESS does not answer" in page.text
    lanes = [item for item in page.all("li") if item.get("class") == "lane"]
    assert 10 < len(lanes) <= 40
    assert "Nodes at work over time" in page.text
    assert len([item for item in page.all("i") if "title" in item]) > 1000


def test_names_and_texts_of_hosts_are_shown_as_text() -> None:
    stored = json.dumps(run_reports.failed())
    for name in ("worker-1", "cp-2", "134", "/snapshots/etcd-1.db", "SIGTERM"):
        stored = stored.replace(name, SCRIPT)
    report = json.loads(stored)
    report["notes"] = ["\x1b[31mred\x07 \u202eright to left & <b>bold</b>"]
    report["command"] = 'salt-run metalk8s_expand.expand "><script>'
    text = render_page(report)
    page = Page(text)
    assert page.all("script") == []
    assert page.all("b") == [{}] * len(page.all("b"))
    assert SCRIPT in page.text
    assert "\\x1b[31mred\\x07 \\u202eright to left & <b>bold</b>" in page.text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


HOSTILE = st.text(alphabet=st.sampled_from("<>&\"'/=;{}\\\x1b\n\u202eaé-1 "), max_size=24)


@settings(max_examples=20, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_value_adds_an_element(name: str, reason: str, path: str) -> None:
    report = run_reports.failed()
    expected = Page(render_page(report))
    node = report["nodes"][1]
    node["error"]["problems"] = [f"x{reason}"]
    node["error"]["message"] = f"y{reason}"
    node["undone"] = [f"z{path}"]
    report["changes"][0]["path"] = f"p{path}"
    report["changes"][0]["wanted"] = f"w{reason}"
    report["cluster"]["after"]["nodes"][1]["taints"] = [f"t{name}"]
    report["cluster"]["before"]["etcd"][0]["name"] = f"m{name}"
    shown = Page(render_page(report))
    # The bootstrap node lost its member, so one line of a card is gone.
    assert abs(len(shown.elements) - len(expected.elements)) <= 2
    assert {tag for tag, _ in shown.elements} == {tag for tag, _ in expected.elements}
    assert {key for _, item in shown.elements for key in item} == {
        key for _, item in expected.elements for key in item
    }


def test_cluster_without_an_answer_at_the_end_is_drawn_as_before() -> None:
    report = run_reports.failed()
    report["cluster"]["after"] = None
    report["cluster"]["before"]["etcd"] = None
    text = Page(render_page(report)).text
    assert "could not be read" in text
    assert "etcd did not answer" in text


def test_unhealthy_members_and_learners_are_marked() -> None:
    report = run_reports.expansion()
    etcd = report["cluster"]["after"]["etcd"]
    etcd[1].update(healthy=False)
    etcd[2].update(learner=True, healthy=None)
    text = Page(render_page(report)).text
    assert "2 voters, 1 healthy, 1 learner, has no quorum" in text
    assert "cp-1: voter, not healthy; cp-2: learner, health unknown" in text


def test_comparison_shows_runs_and_steps() -> None:
    slower, current = run_reports.expansion(), run_reports.expansion()
    slower.update(id="20261128000000", elapsed=400.0)
    for node in slower["nodes"]:
        for step in node["steps"]:
            step["elapsed"] *= 2
    broken = {**digest_of(run_reports.failed()), "id": "not a time"}
    text = Page(render_page(current, [digest_of(slower), broken])).text
    assert "2026-11-28 00:00:00 UTC" in text
    assert "2026-11-29 09:08:24 UTC this run" in text
    assert "not a time ✕ failed (8) 3 of 5" in text
    assert "% shorter" in text
    assert "6 min 40 s" in text
