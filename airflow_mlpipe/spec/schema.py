"""The JSON schema of a pipeline file, made from the models that read it, for editors (``mlpipe schema``)."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.spec import documents, job_documents, later_documents, schedules
from airflow_mlpipe.spec.documents import Raw
from airflow_mlpipe.spec.job_documents import CommandJob, DataTransferJob, ParallelJob, PipelineDocument
from airflow_mlpipe.spec.jobs import JOB_MODELS
from airflow_mlpipe.spec.nested_documents import PipelineJob
from airflow_mlpipe.spec.ports import DATA_TYPES, SCALAR_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_PORT_NAME: Schema = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
_JOB_NAME: Schema = {"pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$", "maxLength": 250}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_DURATION: Schema = {
    "type": ["string", "number", "null"],
    "minimum": 0,
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*[smhd]\s*$",
}
_COMPUTE: Schema = {"type": ["string", "null"], "pattern": "^(azureml:)?[A-Za-z0-9][A-Za-z0-9_.-]*$"}
_ID: Schema = {"type": ["string", "null"], "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "maxLength": 250}
_DATE: Schema = {"type": ["string", "null"], "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"}
_CALLBACK: Schema = {
    "type": ["string", "null"],
    "pattern": r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$",
    "maxLength": 250,
}
_COUNT: Schema = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\$\{\{"}]}


def _ref(model: type[Raw]) -> Schema:
    return {"$ref": f"#/$defs/{model.__name__}"}


def _any_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def _one_or_more(schema: Schema) -> Schema:
    return _any_of(schema, {"type": "array", "items": schema})


def _entries(schema: Schema, names: Schema | None = None) -> Schema:
    shape: Schema = {"type": ["object", "null"], "additionalProperties": schema}
    return shape | ({"propertyNames": names} if names else {})


_NULL: Schema = {"type": "null"}
_PARENT_OUTPUT: Schema = {"type": "string", "pattern": r"^\s*\$\{\{\s*parent\s*\.\s*outputs\s*\."}
_DECLARED_INPUT = _any_of(_SCALAR, _ref(documents.InputKeys))
_DECLARED_OUTPUT = _any_of(_NULL, _ref(documents.OutputKeys))
_ENVIRONMENT = _any_of(
    {"type": "string", "pattern": "^(azureml:)?[A-Za-z0-9][A-Za-z0-9_.-]*([:@][A-Za-z0-9_.-]+)?$"},
    _ref(documents.EnvironmentKeys),
    _NULL,
)
_JOB_FIELDS: dict[str, Schema] = {
    "type": {"enum": list(JOB_MODELS)},
    "component": {"type": ["string", "object"], "not": {"type": "string", "pattern": "^azureml:"}},
    "compute": _COMPUTE,
    "inputs": _entries(
        _any_of({"type": ["string", "number", "boolean", "null"]}, _ref(documents.InputKeys)), _PORT_NAME
    ),
    "outputs": _entries(_any_of(_NULL, _PARENT_OUTPUT, _ref(documents.OutputKeys)), _PORT_NAME),
    "environment": _ENVIRONMENT,
    "environment_variables": _entries(_SCALAR),
    "mini_batch_size": _any_of({"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+$"}),
}

_LATER_FIELDS = {key: _JOB_FIELDS[key] for key in ("type", "compute", "inputs", "outputs", "environment_variables")}


def _job() -> Schema:
    """The schema of a job by its type; a command need not say it."""
    schema = _ref(CommandJob)
    for kind, model in reversed(JOB_MODELS.items()):
        if model is not CommandJob:
            condition = {"properties": {"type": {"const": kind}}, "required": ["type"]}
            schema = {"if": condition, "then": _ref(model), "else": schema}
    return schema


_SHAPES: dict[type[Raw], dict[str, Schema]] = {
    PipelineDocument: {
        "inputs": _entries(_DECLARED_INPUT, _PORT_NAME),
        "outputs": _entries(_DECLARED_OUTPUT, _PORT_NAME),
        "jobs": {"additionalProperties": _job(), "propertyNames": _JOB_NAME},
        "tags": _entries(_SCALAR),
        "name": _ID,
        "compute": _COMPUTE,
    },
    CommandJob: _JOB_FIELDS,
    ParallelJob: _JOB_FIELDS,
    DataTransferJob: _JOB_FIELDS
    | {
        "task": {"const": "copy_data"},
        "outputs": _JOB_FIELDS["outputs"] | {"minProperties": 1, "maxProperties": 1},
    },
    PipelineJob: _JOB_FIELDS,
    later_documents.SweepJob: _LATER_FIELDS,
    later_documents.AutoMLJob: _LATER_FIELDS,
    later_documents.SparkJob: _LATER_FIELDS,
    later_documents.ImportJob: _LATER_FIELDS,
    documents.Settings: {"default_compute": _COMPUTE},
    job_documents.ParallelTaskKeys: {"type": {"const": "run_function"}, "environment": _ENVIRONMENT},
    documents.InputKeys: {"type": {"enum": [*SCALAR_TYPES, *DATA_TYPES]}, "default": _SCALAR},
    documents.OutputKeys: {"path": _PARENT_OUTPUT},
    documents.EnvironmentKeys: {
        "conda_file": {"type": ["string", "object"]},
        "pip_requirements": _any_of({"type": "string"}, {"type": "array", "items": {"type": "string"}}),
    },
    documents.PartitionKeys: {"count": _COUNT, "ahead": _COUNT},
    documents.AirflowKeys: {
        "schedule": _any_of(
            {"type": "string"},
            _NULL,
            _ref(schedules.CronKeys),
            _ref(schedules.RecurrenceKeys),
            _ref(schedules.OnDatasetKeys),
            _ref(schedules.OnDataChangeKeys),
        ),
        "params": _entries(_ref(documents.DateKeys), _PORT_NAME),
        "on_failure": _CALLBACK,
        "on_success": _CALLBACK,
        "start_date": _DATE,
        "end_date": _DATE,
        "dag_id": _ID,
        "retry_delay": _DURATION,
    },
    documents.JobAirflowKeys: {
        "partitions": _entries(_ref(documents.PartitionKeys)),
        "on_failure": _CALLBACK,
        "on_success": _CALLBACK,
        "on_retry": _CALLBACK,
        "retry_delay": _DURATION,
        "execution_timeout": _DURATION,
        "ttl": _DURATION | {"exclusiveMinimum": 0},
    },
    schedules.PatternKeys: {
        "hours": _one_or_more({"type": "integer", "minimum": 0, "maximum": 23}),
        "minutes": _one_or_more({"type": "integer", "minimum": 0, "maximum": 59}),
        "week_days": _one_or_more({"type": "string"}),
        "month_days": _one_or_more({"type": "integer", "minimum": 1, "maximum": 31}),
    },
    schedules.OnDatasetKeys: {},
    schedules.OnDataChangeKeys: {"poll_interval": _DURATION | {"exclusiveMinimum": 0}},
    documents.DateKeys: {"min": _DATE, "max": _DATE},
    schedules.CronKeys: {"time_zone": {"type": "string"}, "start_time": _DATE, "end_time": _DATE},
    schedules.RecurrenceKeys: {"time_zone": {"type": "string"}, "start_time": _DATE, "end_time": _DATE},
}

_NEEDS: dict[type[Raw], Schema] = {
    CommandJob: _any_of({"required": ["command"]}, {"required": ["component"]}),
    ParallelJob: _any_of({"required": ["task", "input_data"]}, {"required": ["component"]}),
    DataTransferJob: {"required": ["task", "inputs", "outputs"]},
    PipelineJob: {"required": ["component"]},
}
"""Keys that a kind of job cannot do without."""


def _definitions() -> dict[str, Schema]:
    """Return the schema of every model by its name, nested models hoisted."""
    definitions: dict[str, Schema] = {}
    for model in _SHAPES:
        schema = model.model_json_schema()
        for name, nested in schema.pop("$defs", {}).items():
            definitions.setdefault(name, nested)
        definitions[model.__name__] = schema
    for model, shapes in _SHAPES.items():
        _refine(definitions[model.__name__], shapes)
    for model, needs in _NEEDS.items():
        definitions[model.__name__].update(needs)
    for schema in definitions.values():
        _finish(schema)
    return definitions


def _refine(schema: Schema, shapes: dict[str, Schema]) -> None:
    for name, shape in shapes.items():
        found = schema["properties"].get(name)
        if found is not None:
            kept = {
                key: found[key] for key in ("description", "default", "minProperties") if found.get(key) is not None
            }
            schema["properties"][name] = kept | ({"type": "object"} if name == "jobs" else {}) | shape


def _finish(schema: Schema) -> None:
    """Make refused keys impossible and drop what is noise for a reader."""
    schema.pop("title", None)
    for key in schema.get("properties", {}).values():
        key.pop("title", None)
        key.pop("ignored", None)
        if key.pop("refused", None) is not None:
            key["not"] = {}


def json_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of a pipeline file.

    It knows keys, types and allowed values; references, files and cycles are checked by ``mlpipe validate`` alone.
    """
    definitions = _definitions()
    pipeline = definitions.pop(PipelineDocument.__name__)
    return {
        "$schema": DIALECT,
        "title": "airflow-mlpipe pipeline",
        "description": "A pipeline in the YAML of Azure ML CLI v2, with an 'airflow' block.",
        **{key: value for key, value in pipeline.items() if key != "description"},
        "$defs": dict(sorted(definitions.items())),
    }
