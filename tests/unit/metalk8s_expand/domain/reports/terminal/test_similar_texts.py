"""Texts of one cause are shown once, with every name that they hold for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metalk8s_expand.domain.reports.terminal import similar_texts
from metalk8s_expand.domain.reports.terminal.similar_texts import by_name, sentences


def test_same_text_of_several_nodes_is_there_once() -> None:
    texts = [(f"w-{n}", "no answer") for n in range(1, 8)]
    assert list(map(str, by_name(texts))) == ["w-[1-7] (7 nodes): no answer"]


def test_texts_that_differ_in_numbers_and_names_show_an_example() -> None:
    found = sentences([f"node w-{n}: no answer of 10.0.0.{n}, see w-{n}" for n in range(1, 8)])
    assert found == ["w-[1-7] (7 nodes), such as w-1: no answer of 10.0.0.1, see w-1"]


def test_sentences_about_something_else_stay() -> None:
    texts = ["node w-1: no answer", "Node w-2 is not Ready", "etcd: no quorum", "etcd has alarms"]
    assert sentences(texts) == texts


def test_known_names_need_no_word_before_them() -> None:
    texts = ["w-1: nothing to change", "w-2: nothing to change", "swap: nothing to change"]
    assert sentences(texts, {"w-1", "w-2"}) == [
        "w-1, w-2 (2 nodes): nothing to change",
        "swap: nothing to change",
    ]
    assert sentences(["Node w-1 is gone", "Node w-2 is gone"]) == ["w-1, w-2 (2 nodes): is gone"]


def test_sentences_without_name_are_counted() -> None:
    assert sentences(["try 1 failed", "try 2 failed"]) == ["try 1 failed (and 1 more like it)"]


def test_block_has_title_and_entries() -> None:
    block = similar_texts.block("Requests:\n- w-1: waits\n- w-2: waits", "requests", {"w-1", "w-2"})
    assert len(block.entries) == 1


NAMES = st.builds("{}-{}".format, st.sampled_from(["w", "cp", "infra"]), st.integers(0, 200))


@given(st.lists(st.tuples(NAMES, st.sampled_from(["no answer", "port 22 of 1.2.3.4", "full"]))))
def test_every_name_is_kept(texts: list[tuple[str, str]]) -> None:
    kept = {(name, item.text) for item in by_name(texts) for name in item.names}
    assert {name for name, _ in kept} == {name for name, _ in texts}
    assert kept == set(texts)
