"""Runs of an Airflow: start, look, follow, cancel."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from airflow_mlpipe.airflow_rest.client import API, AirflowClient
from airflow_mlpipe.airflow_rest.refusals import refusal
from airflow_mlpipe.errors import AirflowUnreachableError, ParameterError

FINAL = ("success", "failed")
_ENDPOINTS = "/mlpipe/PipelineRuns/PipelineEndpointSubmit/Id"
_LOST = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_TRIES = 3
_PAUSE = 1.0
"""Seconds before a call is made again."""
_PAGE = 100


@dataclass(frozen=True)
class AirflowRun:
    """A run as Airflow tells of it.

    :param state: queued, running, success or failed.
    :param conf: what it was triggered with.
    :param started: ISO 8601, empty while it is queued; ``ended`` likewise.
    """

    dag_id: str
    run_id: str
    state: str
    conf: Mapping[str, Any]
    started: str = ""
    ended: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AirflowRun:
        """Read a run of Airflow's API."""
        return cls(
            str(value["dag_id"]),
            str(value["dag_run_id"]),
            str(value["state"]),
            value.get("conf") or {},
            value.get("start_date") or "",
            value.get("end_date") or "",
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in FINAL


@dataclass(frozen=True)
class DagFacts:
    """What a caller must know of a DAG.

    :param schemas: parameter name to its JSON schema.
    """

    dag_id: str
    is_paused: bool
    schemas: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DagFacts:
        """Read a DAG's details of Airflow's API."""
        params = value.get("params") or {}
        schemas = {str(name): dict(param.get("schema") or {}) for name, param in params.items()}
        return cls(str(value["dag_id"]), bool(value.get("is_paused")), schemas)


class AirflowRuns:
    """The runs of one Airflow.

    :param client: who calls.
    """

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    def dag(self, dag_id: str) -> DagFacts:
        """Return what a caller must know of a DAG.

        :raises ParameterError: if there is no such DAG.
        """
        return DagFacts.from_json(self._client.call("GET", f"{dag_path(dag_id)}/details"))

    def trigger(self, dag_id: str, conf: Mapping[str, Any], run_id: str) -> tuple[AirflowRun, bool]:
        """Start a run, or find the one that has this id and these parameters already.

        A lost answer is asked for again: the id makes sure that there is one run.

        :returns: the run, and whether this call made it.
        :raises ParameterError: if Airflow refuses a value, or the id belongs to a run with other parameters.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        answer, was_lost = self._post(f"{dag_path(dag_id)}/dagRuns", body)
        if answer.is_success:
            return AirflowRun.from_json(answer.json()), True
        if answer.status_code != HTTPStatus.CONFLICT:
            raise refusal(answer, "")
        return self._existing(dag_id, conf, run_id), was_lost

    def submit(self, endpoint: str, body: Mapping[str, Any], run_id: str) -> tuple[AirflowRun, bool]:
        """Start a run of what an endpoint leads to, or find the one that has this id already.

        :param body: Azure's, see :mod:`airflow_mlpipe.execution.run_request`.
        :raises ParameterError: if the endpoint or a value is refused, with the field.
        """
        path = f"{_ENDPOINTS}/{quote(endpoint, safe='')}?runId={quote(run_id, safe='')}"
        answer, was_lost = self._post(path, dict(body))
        if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            raise AirflowUnreachableError(
                "This Airflow has no endpoints: its API server has not loaded the plugin of airflow-mlpipe. Install "
                "the package there, and restart it."
            )
        if not answer.is_success:
            raise refusal(answer, "")
        said = answer.json()
        return self.get(said["DagId"], said["Id"]), bool(said["Created"]) or was_lost

    def _post(self, path: str, body: Mapping[str, Any], tries: int = _TRIES) -> tuple[httpx.Response, bool]:
        """Return the answer, and whether an earlier one was lost, on the way or in a gateway."""
        try:
            answer = self._client.request("POST", path, body)
            if answer.status_code not in _LOST or tries == 1:
                return answer, False
        except AirflowUnreachableError:
            if tries == 1:
                raise
        time.sleep(_PAUSE)
        return self._post(path, body, tries - 1)[0], True

    def _existing(self, dag_id: str, conf: Mapping[str, Any], run_id: str) -> AirflowRun:
        run = self.get(dag_id, run_id)
        if dict(run.conf) != dict(conf):
            raise ParameterError(
                f"run id: {run_id!r} of {dag_id} exists with other parameters ({_difference(run.conf, conf)}). "
                "Use another id for another run."
            )
        return run

    def get(self, dag_id: str, run_id: str) -> AirflowRun:
        """Return a run.

        :raises ParameterError: if there is none.
        """
        return AirflowRun.from_json(self._client.call("GET", run_path(dag_id, run_id)))

    def recent(self, dag_id: str | None, limit: int) -> list[AirflowRun]:
        """Return the latest runs of a DAG, or of all, the latest first."""
        params = {"limit": min(limit, _PAGE), "order_by": "-run_after"}
        found = self._client.call("GET", f"{dag_path(dag_id or '~', safe='~')}/dagRuns", params=params)
        return [AirflowRun.from_json(item) for item in found["dag_runs"]]

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task instance of a run; one without a state yet is left out."""
        return dict(self._states(dag_id, run_id))

    def _states(self, dag_id: str, run_id: str) -> Iterator[tuple[str, str]]:
        offset, total = 0, 1
        while offset < total:
            params = {"limit": _PAGE, "offset": offset}
            page = self._client.call("GET", f"{run_path(dag_id, run_id)}/taskInstances", params=params)
            found: Sequence[Mapping[str, Any]] = page["task_instances"]
            for item in found:
                index = item.get("map_index", -1)
                if item["state"]:
                    yield (f"{item['task_id']}[{index}]" if index >= 0 else item["task_id"]), item["state"]
            offset, total = offset + _PAGE, page["total_entries"]

    def cancel(self, dag_id: str, run_id: str) -> tuple[AirflowRun, bool]:
        """Mark a run as failed: Airflow then ends its tasks, and these end their jobs.

        :returns: the run, and whether there was something to cancel.
        """
        run = self.get(dag_id, run_id)
        if run.has_ended:
            return run, False
        return AirflowRun.from_json(self._client.call("PATCH", run_path(dag_id, run_id), {"state": "failed"})), True


def dag_path(dag_id: str, safe: str = "") -> str:
    """Return the path of a DAG in the API."""
    return f"{API}/dags/{quote(dag_id, safe=safe)}"


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of a run in the API."""
    return f"{dag_path(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    names = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    return "; ".join(f"{name}: {there.get(name)!r} there, {here.get(name)!r} here" for name in names[:3])
