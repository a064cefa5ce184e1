"""What Airflow is told; a mistake here would break ``import airflow`` of a whole installation."""

from __future__ import annotations

import json
from importlib import import_module, resources
from importlib.metadata import entry_points

import jsonschema
import pytest

from airflow_mlpipe.provider_info import get_provider_info

pytestmark = pytest.mark.airflow


def schema(name: str) -> dict[str, object]:
    text = (resources.files("airflow") / name).read_text()
    return dict(json.loads(text))


def test_it_obeys_airflows_schema() -> None:
    rules = schema("provider_info.schema.json")
    validator = jsonschema.validators.validator_for(rules)(rules)
    assert [error.message for error in validator.iter_errors(get_provider_info())] == []


def test_the_name_is_the_distributions() -> None:
    [entry] = [item for item in entry_points(group="apache_airflow_provider") if "mlpipe" in item.value]
    assert entry.dist is not None
    assert entry.dist.name == get_provider_info()["package-name"] == "airflow-mlpipe"
    assert entry.load() is get_provider_info


def test_every_module_exists() -> None:
    info = get_provider_info()
    kinds = ("hooks", "operators", "sensors", "triggers")
    modules = [name for kind in kinds for entry in info[kind] for name in entry["python-modules"]]
    assert len(modules) == len(set(modules)) == 12
    for name in modules:
        assert import_module(name).__doc__


def test_integrations_are_declared() -> None:
    info = get_provider_info()
    declared = {entry["integration-name"] for entry in info["integrations"]}
    used = {entry["integration-name"] for kind in ("hooks", "operators", "sensors", "triggers") for entry in info[kind]}
    assert used == declared


def test_every_setting_has_what_airflow_requires() -> None:
    for section in get_provider_info()["config"].values():
        for option in section["options"].values():
            assert set(option) == {"description", "version_added", "type", "example", "default"}


def test_the_connection_form_hides_what_it_does_not_use() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.field_behaviours["mlpipe"]["hidden_fields"] == ["host", "schema", "login", "password", "port"]
    fields = {name for name in manager.connection_form_widgets if name.startswith("extra__mlpipe__")}
    assert fields == {"extra__mlpipe__workspace", "extra__mlpipe__workspace_file"}
