"""Azure's body, read into parameters and labels; every fault names its field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlpipe.execution.run_request import RequestError, plain_conf, read_request, typed

SCHEMAS: dict[str, dict[str, Any]] = {
    "rate": {"type": "number", "maximum": 1},
    "rounds": {"type": ["integer", "null"]},
    "fast": {"type": "boolean"},
    "text": {"type": "string"},
    "raw": {"type": "string", "mlpipe_data": True},
}


def test_azures_whole_body_is_understood() -> None:
    request = read_request(
        {
            "ExperimentName": "nightly",
            "DisplayName": "one night",
            "Description": "a try",
            "ParameterAssignments": {"rate": "0.2", "rounds": "3", "fast": "True", "text": "7", "reuse": "force"},
            "DataPathAssignments": {"raw": {"DataStoreName": "landing", "RelativePath": "2013/03"}},
            "RunSource": "SDK",
            "RunType": "HTTP",
            "tags": {"team": "blue"},
            "Properties": {"ticket": "7"},
            "ContinueRunOnStepFailure": False,
            "EnableNotification": None,
        },
        SCHEMAS,
    )
    assert request.parameters == {
        "rate": 0.2,
        "rounds": 3,
        "fast": True,
        "text": "7",
        "reuse": "force",
        "raw": "azureml://datastores/landing/paths/2013/03",
    }
    labels = request.labels
    assert (labels.experiment, labels.display_name, labels.source, labels.run_type) == (
        "nightly",
        "one night",
        "SDK",
        "HTTP",
    )
    assert (labels.tags, labels.properties) == ({"team": "blue"}, {"ticket": "7"})


@pytest.mark.parametrize(
    ("conf", "field", "words"),
    [
        ({"rat": 1}, "rat", "Did you mean 'rate'?"),
        ({"ParameterAssignment": {}}, "ParameterAssignment", "Did you mean 'ParameterAssignments'?"),
        ({"ParameterAssignments": {"rat": "1"}}, "ParameterAssignments.rat", "Did you mean 'rate'?"),
        ({"ParameterAssignments": ["rate"]}, "ParameterAssignments", "must be an object"),
        ({"rate": 1, "ParameterAssignments": {"rate": "1"}}, "ParameterAssignments.rate", "given twice"),
        ({"ExperimentName": 7}, "ExperimentName", "must be text"),
        ({"RunType": "Mail"}, "RunType", "HTTP, SDK, Schedule, Portal"),
        ({"tags": {"a": 1}}, "tags.a", "must be text"),
        ({"tags": {f"t{number}": "" for number in range(51)}}, "tags", "at most 50"),
        ({"ContinueRunOnStepFailure": True}, "ContinueRunOnStepFailure", "settings.continue_on_step_failure"),
        ({"DataSetDefinitionValueAssignments": {}}, "DataSetDefinitionValueAssignments", "DataPathAssignments"),
        ({"DataPathAssignments": {"text": {}}}, "DataPathAssignments.text", "no data input 'text'"),
        ({"DataPathAssignments": {"raw": {"RelativePath": "x"}}}, "DataPathAssignments.raw", "DataStoreName"),
        (
            {"DataPathAssignments": {"raw": {"DataStoreName": "a/b", "RelativePath": "x"}}},
            "DataPathAssignments.raw.DataStoreName",
            "name of a datastore",
        ),
        (
            {"DataPathAssignments": {"raw": {"DataStoreName": "a", "RelativePath": "../x"}}},
            "DataPathAssignments.raw.RelativePath",
            "without '..'",
        ),
    ],
)
def test_a_fault_names_its_field(conf: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RequestError) as error:
        read_request(conf, SCHEMAS)
    [fault] = error.value.faults
    assert fault.field == field
    assert words in fault.message


def test_all_faults_come_at_once() -> None:
    with pytest.raises(RequestError) as error:
        read_request({"rat": 1, "tags": 2, "ParameterAssignments": {"a": 1, "b": 2}}, SCHEMAS)
    assert len(error.value.faults) == 4


def test_a_parameter_named_like_azures_word_is_the_parameter() -> None:
    request = read_request({"Description": 5}, {"Description": {"type": "integer"}})
    assert request.labels.description == ""


def test_plain_conf_has_parameters_at_the_top() -> None:
    conf = {"ExperimentName": "e", "text": "x", "ParameterAssignments": {"rate": "5"}}
    assert plain_conf(conf, SCHEMAS) == {"ExperimentName": "e", "text": "x", "rate": 5.0}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5", "number", 5.0),
        ("5", "integer", 5),
        ("FALSE", "boolean", False),
        ("5", "string", "5"),
        ("null", ["number", "null"], None),
        ('{"a": "force"}', "object", {"a": "force"}),
        ("NaN", "number", "NaN"),
        ("1e999", "number", "1e999"),
        ("abc", "integer", "abc"),
        (7, "string", 7),
    ],
)
def test_text_takes_the_parameters_type(text: Any, kind: Any, value: Any) -> None:
    read = typed(text, {"type": kind})
    assert (read, type(read)) == (value, type(value))


def batch(**inputs: Any) -> dict[str, Any]:
    return {"properties": {"InputData": inputs}}


def literal(value: Any) -> dict[str, Any]:
    return {"JobInputType": "Literal", "Value": value}


def test_the_body_of_a_batch_endpoint_is_understood() -> None:
    folder = {"JobInputType": "UriFolder", "Uri": "azureml://datastores/landing/paths/2013/03"}
    body = batch(rate=literal("0.2"), rounds=literal(3), fast=literal(True), reuse=literal("force"), raw=folder)
    wanted = {
        "rate": 0.2,
        "rounds": 3,
        "fast": True,
        "reuse": "force",
        "raw": "azureml://datastores/landing/paths/2013/03",
    }
    assert read_request({**body, "tags": {"team": "blue"}}, SCHEMAS).parameters == wanted
    assert plain_conf({**body, "tags": {"team": "blue"}}, SCHEMAS) == {**wanted, "tags": {"team": "blue"}}


def test_properties_of_v1_stay_texts() -> None:
    assert read_request({"properties": {"InputData": "x"}}, SCHEMAS).labels.properties == {"InputData": "x"}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (batch(rat=literal(1)), "properties.InputData.rat.Value", "Did you mean 'rate'?"),
        (batch(rate={"JobInputType": "Literal"}), "properties.InputData.rate", "must be"),
        (batch(rate=literal(1) | {"Mode": "x"}), "properties.InputData.rate", "must be"),
        (batch(rate=1), "properties.InputData.rate", "must be"),
        (batch(raw={"JobInputType": "MLTable", "Uri": "x"}), "properties.InputData.raw", "must be"),
        (
            batch(raw={"JobInputType": "UriFolder", "Uri": "/etc"}),
            "properties.InputData.raw.Uri",
            "azureml://datastores",
        ),
        (batch(raw={"JobInputType": "UriFile", "Uri": 7}), "properties.InputData.raw.Uri", "azureml://datastores"),
        (
            batch(raw={"JobInputType": "UriFolder", "Uri": "azureml://datastores/a/paths/../b"}),
            "properties.InputData.raw.Uri.RelativePath",
            "without '..'",
        ),
        (
            batch(text={"JobInputType": "UriFolder", "Uri": "azureml://datastores/a/paths/b"}),
            "properties.InputData.text.Uri",
            "no data input 'text'",
        ),
        ({"properties": {"InputData": {}, "OutputData": {}}}, "properties.OutputData", "not supported"),
        ({**batch(rate=literal(1)), "rate": 1}, "properties.InputData.rate.Value", "given twice"),
    ],
)
def test_what_is_wrong_in_a_batch_body_is_named(body: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(body, SCHEMAS)
    [fault] = caught.value.faults
    assert fault.field == field
    assert words in fault.message
