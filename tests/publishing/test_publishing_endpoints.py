"""Endpoints: every change is kept, and two at once come one after the other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.errors import ConfigError, DataError, ParameterError
from airflow_mlpipe.publishing.base import PublishedPipeline
from airflow_mlpipe.publishing.endpoints import Endpoints
from airflow_mlpipe.publishing.store import PublishedStore
from airflow_mlpipe.workspace import load_workspace


def published(version: str) -> PublishedPipeline:
    return PublishedPipeline(
        name="churn",
        version=version,
        dag_id=f"churn__v{version}",
        source="pipeline.yml",
        code="code:0",
        files={},
        spec_hash="",
        nonce=version,
        created=datetime.now(timezone.utc),
    )


@pytest.fixture
def endpoints(tmp_path: Path) -> Endpoints:
    return Endpoints(LocalDatastore("store", tmp_path / "store"))


def test_a_default_is_switched_and_switched_back(endpoints: Endpoints) -> None:
    endpoints.create("churn", published("1"))
    assert endpoints.resolve("churn")[1].dag_id == "churn__v1"
    endpoints.add("churn", published("2"))
    assert endpoints.resolve("churn")[1].dag_id == "churn__v1"
    assert endpoints.resolve("churn", 1)[1].dag_id == "churn__v2"
    endpoints.set_default("churn", 1)
    assert endpoints.resolve("churn")[1].dag_id == "churn__v2"
    endpoints.set_default("churn", 0)
    assert endpoints.resolve("churn")[1].dag_id == "churn__v1"
    assert [state.change for state in endpoints.history("churn")] == [
        "created with churn:1",
        "added churn:2",
        "default set to version 1",
        "default set to version 0",
    ]


def test_what_changes_nothing_is_no_change(endpoints: Endpoints) -> None:
    endpoints.create("churn", published("1"))
    endpoints.add("churn", published("2"), make_default=True)
    assert endpoints.add("churn", published("2")).revision == 2
    assert endpoints.set_default("churn", 1).revision == 2
    assert len(endpoints.get("churn").versions) == 2


def test_disabled_and_archived_endpoints_take_no_calls(endpoints: Endpoints) -> None:
    endpoints.create("churn", published("1"))
    endpoints.disable("churn")
    with pytest.raises(ParameterError, match="is disabled and takes no calls"):
        endpoints.resolve("churn")
    endpoints.archive("churn")
    with pytest.raises(ParameterError, match="is archived"):
        endpoints.resolve("churn")
    endpoints.enable("churn")
    assert endpoints.resolve("churn")[1].number == 0


def test_wrong_names_and_numbers(endpoints: Endpoints) -> None:
    endpoints.create("churn", published("1"))
    for call in (
        lambda: endpoints.create("churn", published("2")),
        lambda: endpoints.create("a/b", published("2")),
        lambda: endpoints.set_default("churn", 1),
        lambda: endpoints.set_default("churn", -1),
        lambda: endpoints.get("chrun"),
        lambda: endpoints.resolve("../churn"),
    ):
        with pytest.raises(ConfigError):
            call()
    assert endpoints.get("churn").revision == 1


def test_changes_at_once_are_all_kept(endpoints: Endpoints) -> None:
    endpoints.create("churn", published("0"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: endpoints.add("churn", published(str(number))), range(1, 17)))
    now = endpoints.get("churn")
    assert now.revision == 17
    assert [version.number for version in now.versions] == list(range(17))
    assert {version.pipeline for version in now.versions} == {f"churn:{number}" for number in range(17)}


def test_a_damaged_record_leads_nowhere(endpoints: Endpoints, tmp_path: Path) -> None:
    endpoints.create("churn", published("1"))
    endpoints.add("churn", published("2"), make_default=True)
    path = tmp_path / "store/mlpipe/endpoints/churn/00000002.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is damaged"):
        endpoints.resolve("churn")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "workspace.yml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path)
    store = PublishedStore(load_workspace(tmp_path / "workspace.yml").datastore())
    assert all(store.create(published(version)) for version in ("1", "2"))

    def call(*words: str) -> str:
        assert main(["endpoints", *words]) == 0
        return capsys.readouterr().out

    assert "no endpoint yet" in call("list")
    out = call("create", "calls", "--pipeline", "churn:1", "--description", "for the web shop")
    assert out.strip() == "Endpoint calls: created with churn:1. active; default 0 = churn__v1."
    assert "default 1 = churn__v2" in call("add", "calls", "--pipeline", "churn:2", "--default")
    assert "default 0 = churn__v1" in call("set-default", "calls", "0")
    assert "disabled" in call("disable", "calls")
    assert "active" in call("enable", "calls")
    shown = json.loads(call("show", "calls", "--json"))
    assert (shown["status"], shown["default"], len(shown["history"])) == ("active", 0, 5)
    assert "default set to version 0" in call("show", "calls")
    assert "0=churn:1, 1=churn:2" in call("list")
    call("archive", "calls")
    assert json.loads(call("list", "--json")) == []
    assert json.loads(call("list", "--all", "--json"))[0]["status"] == "archived"

    for words, said in (
        (("show",), "needs the name"),
        (("create", "x"), "needs --pipeline"),
        (("set-default", "calls"), "Which version?"),
        (("add", "calls", "--pipeline", "churn:9"), "Versions of churn: 1, 2."),
    ):
        assert main(["endpoints", *words]) == 2
        assert said in capsys.readouterr().err
