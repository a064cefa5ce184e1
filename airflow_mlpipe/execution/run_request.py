"""What a caller asks of a run: plain parameters, or the body that Azure ML's REST API takes.

The one place that knows Azure's words. ``ParameterAssignments`` become parameters, ``DataPathAssignments`` addresses of
data inputs, ``properties.InputData`` of v2's batch endpoints either of them, and the rest labels of the run record.
Every fault names its field, and a word that nobody knows is one.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.spec.step import DATA_KEY
from airflow_mlpipe.tracking.base import RunLabels

ASSIGNMENTS = "ParameterAssignments"
DATA_PATHS = "DataPathAssignments"
RESERVED = frozenset({"reuse", "reuse_steps"})
"""Parameters of every pipeline: the reuse mode of a run, and those of single steps by name."""

_TEXTS = {
    "ExperimentName": "experiment",
    "DisplayName": "display_name",
    "Description": "description",
    "RunSource": "source",
    "RunType": "run_type",
    "ScheduleId": "schedule_id",
    "ParentRunId": "parent_run_id",
}
_TEXT_MAPS = {"tags": "tags", "Tags": "tags", "properties": "properties", "Properties": "properties"}
_FIXED = {
    "ContinueRunOnStepFailure": "is part of the pipeline (settings.continue_on_step_failure), not of a run",
    "EnableNotification": "is not supported; let a callback of the pipeline notify",
}
_REFUSED = {
    "DataSetDefinitionValueAssignments": f"names datasets by ids of Azure; use {DATA_PATHS}",
    "StepTags": "is not supported; tags belong to the run",
}
AZURE_KEYS = frozenset({ASSIGNMENTS, DATA_PATHS, *_TEXTS, *_TEXT_MAPS, *_FIXED, *_REFUSED})
"""Every key of Azure's body that is understood or refused for a reason."""

_PROPERTIES, _INPUT_DATA = "properties", "InputData"
_BATCH = f"{_PROPERTIES}.{_INPUT_DATA}"
_DATASTORE = re.compile(r"azureml://datastores/(?P<store>[^/]+)/paths/(?P<path>.+)", re.DOTALL)
_RUN_TYPES = ("HTTP", "SDK", "Schedule", "Portal")
_MAX_LABELS, _MAX_TEXT = 50, 1000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}", re.ASCII)


@dataclass(frozen=True)
class RequestFault:
    """One thing that is wrong.

    :param field: where, ``ParameterAssignments.learning_rate``.
    :param message: what, and what is allowed.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class RequestError(ParameterError):
    """A run was asked for in a wrong way.

    :param faults: everything that is wrong.
    """

    def __init__(self, faults: Iterable[RequestFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True)
class RunRequest:
    """A request that has been read.

    :param parameters: what :data:`ASSIGNMENTS` and :data:`DATA_PATHS` give, typed, not yet checked against their
        schemas.
    :param labels: for the run record.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    labels: RunLabels = field(default_factory=RunLabels)


def read_request(conf: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> RunRequest:
    """Read what a run was triggered with.

    A parameter of the pipeline that is named like a word of Azure's is the parameter.

    :param conf: plain parameters and words of Azure's body, side by side.
    :param schemas: the pipeline's parameters, each with its JSON schema.
    :raises RequestError: with every wrong field.
    """
    reader = _Reader(conf, schemas)
    reader.read()
    if reader.faults:
        raise RequestError(reader.faults)
    return RunRequest(reader.parameters, RunLabels(**reader.labels))


def plain_conf(conf: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a conf with the assignments as plain parameters, which Airflow checks itself; labels stay.

    :raises RequestError: as :func:`read_request`.
    """
    request = read_request(conf, schemas)
    kept = {key: value for key, value in conf.items() if key in schemas or not _assigns(key, value)}
    return {**kept, **request.parameters}


def field_of_parameters(conf: Mapping[str, Any]) -> str:
    """Return the field of a conf that holds the values of parameters, for messages about one of them."""
    return _BATCH if any(_is_batch(key, value) for key, value in conf.items()) else ASSIGNMENTS


def _assigns(key: str, value: Any) -> bool:
    """Return whether a word of Azure's gives parameters their values."""
    return key in (ASSIGNMENTS, DATA_PATHS) or _is_batch(key, value)


def _is_batch(key: str, value: Any) -> bool:
    """Return whether these are the ``properties`` of a batch endpoint of v2; those of v1 are names and texts."""
    return key == _PROPERTIES and isinstance(value, Mapping) and isinstance(value.get(_INPUT_DATA), Mapping)


class _Reader:
    def __init__(self, conf: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._conf = conf
        self._schemas = schemas
        self.parameters: dict[str, Any] = {}
        self.labels: dict[str, Any] = {}
        self.faults: list[RequestFault] = []

    def read(self) -> None:
        known = {*self._schemas, *RESERVED}
        for key, value in self._conf.items():
            if key in known:
                continue
            if _is_batch(key, value):
                self._batch(value)
            elif key in AZURE_KEYS:
                self._azure(key, value)
            else:
                self._fault(key, f"unknown parameter {key!r}.{did_you_mean(key, known, also=AZURE_KEYS)}")

    def _azure(self, key: str, value: Any) -> None:
        if key in _REFUSED or (key in _FIXED and value not in (None, False)):
            self._fault(key, f"{ {**_REFUSED, **_FIXED}[key] }.")
        elif value is None or key in _FIXED:
            return
        elif key in _TEXTS:
            self._text(key, value)
        elif key in _TEXT_MAPS:
            self._map(key, value)
        elif not isinstance(value, Mapping):
            self._fault(key, f"must be an object of names and values; given was {value!r:.80}.")
        else:
            read = self._assign if key == ASSIGNMENTS else self._data_path
            for name, item in value.items():
                read(f"{key}.{name}", str(name), item)

    def _text(self, key: str, value: Any) -> None:
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            self._fault(key, f"must be text of at most {_MAX_TEXT} characters.")
        elif key == "RunType" and value not in _RUN_TYPES:
            self._fault(key, f"must be one of {', '.join(_RUN_TYPES)}; given was {value!r:.80}.")
        else:
            self.labels[_TEXTS[key]] = value

    def _map(self, key: str, value: Any) -> None:
        if not isinstance(value, Mapping) or len(value) > _MAX_LABELS:
            self._fault(key, f"must be an object with at most {_MAX_LABELS} names, each with a text.")
            return
        wrong = [name for name, item in value.items() if not isinstance(item, str) or len(item) > _MAX_TEXT]
        for name in wrong:
            self._fault(f"{key}.{name}", f"must be text of at most {_MAX_TEXT} characters.")
        if not wrong:
            self.labels[_TEXT_MAPS[key]] = {**self.labels.get(_TEXT_MAPS[key], {}), **value}

    def _assign(self, where: str, name: str, value: Any) -> None:
        if name not in self._schemas and name not in RESERVED:
            self._fault(where, f"unknown parameter {name!r}.{did_you_mean(name, {*self._schemas, *RESERVED})}")
            return
        schema = self._schemas.get(name, {"type": "object"} if name == "reuse_steps" else {})
        self._take(where, name, typed(value, schema))

    def _batch(self, properties: Mapping[str, Any]) -> None:
        """Read ``{"InputData": {name: {"JobInputType": ..., "Value" or "Uri": ...}}}``."""
        for key in properties.keys() - {_INPUT_DATA}:
            self._fault(f"{_PROPERTIES}.{key}", f"is not supported beside {_INPUT_DATA}.")
        for name, item in properties[_INPUT_DATA].items():
            where = f"{_BATCH}.{name}"
            kind = item.get("JobInputType") if isinstance(item, Mapping) else None
            if kind == "Literal" and set(item) == {"JobInputType", "Value"}:
                self._assign(f"{where}.Value", str(name), item["Value"])
            elif kind in ("UriFolder", "UriFile") and set(item) == {"JobInputType", "Uri"}:
                self._uri(f"{where}.Uri", str(name), item["Uri"])
            else:
                forms = '{"JobInputType": "Literal", "Value": ...} or {"JobInputType": "UriFolder", "Uri": ...}'
                self._fault(where, f"must be {forms}.")

    def _uri(self, where: str, name: str, uri: Any) -> None:
        match = _DATASTORE.fullmatch(uri) if isinstance(uri, str) else None
        if match is None:
            self._fault(where, "must be azureml://datastores/<name>/paths/<path>, a datastore of the workspace.")
        else:
            self._data_path(where, name, {"DataStoreName": match["store"], "RelativePath": match["path"]})

    def _data_path(self, where: str, name: str, value: Any) -> None:
        inputs = [known for known, schema in self._schemas.items() if schema.get(DATA_KEY)]
        if name not in inputs:
            self._fault(where, f"the pipeline has no data input {name!r} to assign.{did_you_mean(name, inputs)}")
        elif not isinstance(value, Mapping) or set(value) != {"DataStoreName", "RelativePath"}:
            self._fault(where, 'must be {"DataStoreName": ..., "RelativePath": ...}.')
        else:
            self._address(where, name, value["DataStoreName"], value["RelativePath"])

    def _address(self, where: str, name: str, store: Any, path: Any) -> None:
        if not isinstance(store, str) or not _NAME.fullmatch(store):
            self._fault(f"{where}.DataStoreName", "must be the name of a datastore.")
        elif not isinstance(path, str) or path.startswith("/") or ".." in path.split("/") or "${{" in path:
            self._fault(f"{where}.RelativePath", "must be a path inside the datastore, without '..'.")
        else:
            self._take(where, name, f"azureml://datastores/{store}/paths/{path}")

    def _take(self, where: str, name: str, value: Any) -> None:
        if name in self._conf or name in self.parameters:
            self._fault(where, f"{name!r} is given twice.")
        else:
            self.parameters[name] = value

    def _fault(self, where: str, message: str) -> None:
        self.faults.append(RequestFault(where, message))


def new_run_id() -> str:
    """Return an id for a run whose caller named none."""
    return f"mlpipe__{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%S}-{secrets.token_hex(4)}"


def typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a value in the type that its parameter has: Azure's assignments and command lines know text only.

    What does not read as the type stays text, and the schema says so.

    :param schema: of the parameter, JSON schema.
    """
    kinds = schema.get("type") or ("string",)
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not isinstance(value, str) or "string" in kinds:
        return value
    try:
        read = json.loads(value.strip().lower() if "boolean" in kinds else value, parse_constant=float)
    except ValueError:
        return value
    if isinstance(read, float) and not math.isfinite(read):
        return value
    return float(read) if "number" in kinds and type(read) is int else read


def did_you_mean(word: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """Return a hint, beginning with a space: the closest of the words, or all that are known.

    :param also: words that are worth a hint but are not listed.
    """
    listed = sorted(known)
    close = difflib.get_close_matches(str(word), [*listed, *sorted(also)], n=1)
    return f" Did you mean {close[0]!r}?" if close else f" There is: {', '.join(listed) or 'none'}."
