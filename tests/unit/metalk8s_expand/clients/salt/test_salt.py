"""Tests of keys, grains and commands with Salt's real files; the minions are fakes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config
import salt.exceptions

from metalk8s_expand.clients.salt import keys
from metalk8s_expand.clients.salt import pillar as master
from metalk8s_expand.clients.salt.keys import Keys
from metalk8s_expand.clients.salt.minions import Minions
from metalk8s_expand.errors import UnreachableError

Options = dict[str, Any]


@pytest.fixture
def opts(tmp_path: Path) -> Options:
    """Return the options of a master without keys and cache."""
    found: Options = salt.config.master_config(None)
    found.update(
        id="boot",
        pki_dir=str(tmp_path / "pki"),
        cachedir=str(tmp_path / "cache"),
        conf_file=str(tmp_path / "master"),
    )
    return found


def put(opts: Options, directory: str, *minions: str, key: str = "") -> None:
    folder = Path(opts["pki_dir"]) / directory
    folder.mkdir(parents=True, exist_ok=True)
    for minion in minions:
        (folder / minion).write_text(
            f"-----BEGIN PUBLIC KEY-----\n{key or directory}\n-----END PUBLIC KEY-----\n"
        )


class TestKeys:
    def test_keys_match_exact_names_in_all_directories(self, opts: Options) -> None:
        for directory, minion in zip(keys.KEY_DIRECTORIES, ("a", "b", "c", "d"), strict=True):
            put(opts, directory, minion, f"{minion}-2")
        found = Keys(opts).public_keys(["a", "b", "c", "d", "e", "*", "a?"])
        assert {name: pem.splitlines()[1] for name, pem in found.items()} == {
            "a": "minions", "b": "minions_pre", "c": "minions_rejected", "d": "minions_denied",
        }  # fmt: skip

    def test_accepted_key_wins_over_denied_key(self, opts: Options) -> None:
        put(opts, "minions_denied", "a")
        put(opts, "minions", "a")
        assert "minions\n" in Keys(opts).public_keys(["a"])["a"]

    @pytest.mark.parametrize("count", [1, keys.FEW, keys.FEW + 1])
    def test_few_or_many_keys_are_read(self, opts: Options, count: int) -> None:
        names = [f"a{number}" for number in range(count)]
        put(opts, "minions", *names, "another")
        put(opts, "minions_pre", "a-new-one")
        assert sorted(Keys(opts).public_keys(names)) == sorted(names)

    def test_every_key_of_one_exact_name_is_deleted(self, opts: Options) -> None:
        Path(opts["cachedir"]).mkdir()
        for directory in ("minions", "minions_pre", "minions_rejected"):
            put(opts, directory, "a", "a-2")
        assert Keys(opts).delete("a")
        assert Keys(opts).public_key("a") is None
        assert not Keys(opts).delete("a")
        assert not Keys(opts).delete("a*")
        assert sorted(Keys(opts).public_keys(["a", "a-2"])) == ["a-2"]

    def test_first_of_several_denied_keys_is_returned(self) -> None:
        assert keys._first(["one", "two"]) == "one"
        assert keys._first("one") == "one"

    def test_missing_key_is_not_returned(self, opts: Options) -> None:
        assert Keys(opts).public_keys(["a"]) == {}
        assert Keys(opts).public_keys([]) == {}

    def test_master_key_is_read(self, opts: Options) -> None:
        assert master.master_key(opts) == ""
        put(opts, ".", "master.pub", key="own")
        assert "own" in master.master_key(opts)


class TestGrains:
    @pytest.mark.parametrize(
        ("bank", "key", "data"),
        [("grains", "a", {"x": 1}), ("minions/a", "data", {"grains": {"x": 1}})],
    )
    def test_grains_of_every_cache_layout_are_read(
        self, opts: Options, bank: str, key: str, data: Any
    ) -> None:
        salt.cache.factory(opts).store(bank, key, data)
        assert dict(Minions(opts).grains(["a", "b"])) == {"a": {"x": 1}}

    @pytest.mark.parametrize("data", [[], ["x"], {}, None, "x"])
    def test_grains_that_are_no_mapping_are_skipped(self, opts: Options, data: Any) -> None:
        salt.cache.factory(opts).store("grains", "a", data)
        assert dict(Minions(opts).grains(["a"])) == {}

    def test_grains_without_minion_data_cache_are_empty(self, opts: Options) -> None:
        salt.cache.factory(opts).store("grains", "a", {"x": 1})
        assert dict(Minions({**opts, "minion_data_cache": False}).grains(["a"])) == {}


class Client:
    """Salt's client without minions."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.more: Iterable[Any] = ()
        self.jobs: list[tuple[Any, ...]] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *args: Any) -> None: ...

    def cmd_iter_no_block(self, tgt: Any, fun: str, **more: Any) -> Iterator[Any]:
        self.jobs.append((tgt, fun, more["arg"], more["tgt_type"]))
        if isinstance(self.answer, Exception):
            raise self.answer
        yield None
        for minion, value in self.answer.items():
            yield {minion: {"ret": value, "retcode": 0}}
            yield None
        yield from self.more


class TestAsk:
    def test_job_runs_on_accepted_minions_only(
        self, opts: Options, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = Client({"a": {"x": ""}, "b": "Minion did not return."})
        given: list[str] = []
        monkeypatch.setattr(
            "salt.client.get_local_client", lambda c_path: given.append(c_path) or client
        )
        put(opts, "minions", "a", "b")
        put(opts, "minions_pre", "c")
        assert Minions(opts).ask(["c", "b", "a"], "test.it", [[1, 2], 3]) == client.answer
        assert client.jobs == [(["b", "a"], "test.it", [[1, 2], 3], "list")]
        assert given == [opts["conf_file"]]

    def test_minion_whose_job_hangs_is_not_waited_for(
        self, opts: Options, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = Client({"a": True})
        # Salt yields None as long as the minion says that the job runs.
        client.more = itertools.repeat(None)
        monkeypatch.setattr("salt.client.get_local_client", lambda c_path: client)
        put(opts, "minions", "a", "b")
        started = time.monotonic()
        assert Minions(opts).ask(["a", "b"], "test.it", [], 0.3) == {"a": True}
        assert 0.3 <= time.monotonic() - started < 3

    @pytest.mark.parametrize("odd", [{}, {"error": {"name": "x"}}, {"a": {"failed": True}}, "x"])
    def test_text_that_is_no_return_of_a_minion_is_ignored(
        self, odd: Any, opts: Options, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = Client({})
        client.more = [odd]
        monkeypatch.setattr("salt.client.get_local_client", lambda c_path: client)
        put(opts, "minions", "a")
        assert Minions(opts).ask(["a"], "test.it", []) == {}

    def test_accepted_minions_are_selected(self, opts: Options) -> None:
        put(opts, "minions", "a", "b")
        put(opts, "minions_pre", "c")
        assert Minions(opts).accepted() == {"a", "b"}
        assert Minions(opts).accepted(["c", "b"]) == {"b"}

    def test_unaccepted_minions_get_no_job(
        self, opts: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(
            "salt.client.get_local_client", lambda c_path: pytest.fail("there is nobody to ask")
        )
        assert Minions(opts).ask(["a"], "test.it", []) == {}
        assert capsys.readouterr().out == ""

    def test_missing_master_is_unreachable(
        self, opts: Options, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = Client(salt.exceptions.SaltClientError("not responding"))
        monkeypatch.setattr("salt.client.get_local_client", lambda c_path: client)
        put(opts, "minions", "a")
        with pytest.raises(UnreachableError, match="cannot contact a: not responding") as error:
            Minions(opts).ask(["a"], "test.it", [])
        assert error.value.hint
        assert error.value.log
