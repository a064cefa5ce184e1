"""The few calls of Airflow's REST API that tests, the demo and benchmarks make."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

FINAL_RUN_STATES = ("success", "failed")
FINAL_TASK_STATES = ("success", "failed", "skipped", "upstream_failed", "removed")


class AirflowApi:
    """A logged-in REST client.

    Every method but :meth:`request` raises :class:`httpx.HTTPStatusError`, with Airflow's words, for an error answer.

    :param url: address of the API server.
    :param username: of the simple auth manager.
    :param password: of the simple auth manager.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self._login = {"username": username, "password": password}
        self._token: str | None = None
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        url, timeout = self._client.base_url, self._client.timeout
        self._client.close()
        self._client = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def request(
        self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Call the API and return the answer, whatever its status.

        :param path: below ``/api/v2``.
        """
        if self._token is None:
            answer = self._client.post("/auth/token", json=self._login)
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        return self._client.request(method, f"/api/v2{path}", json=json, params=params, headers=headers)

    def call(self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Call the API and return the answer's JSON."""
        answer = self.request(method, path, json, params)
        if answer.is_error:
            message = f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
            raise httpx.HTTPStatusError(message, request=answer.request, response=answer)
        return answer.json() if answer.content else None

    def wait_dag(self, dag_id: str, timeout: float = 120) -> None:
        """Wait until the DAG processor has read the DAG.

        :raises RuntimeError: on an import error of any file, with its text; or after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while self.request("GET", f"/dags/{dag_id}").status_code != httpx.codes.OK:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"DAG {dag_id} did not appear within {timeout:.0f} s. Import errors: {self.import_errors()}"
                )
            time.sleep(0.3)

    def import_errors(self) -> dict[str, str]:
        """Return the text of each file's import error."""
        errors = self.call("GET", "/importErrors")["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def unpause(self, dag_id: str, paused: bool = False) -> None:
        """Switch a DAG on, or off with ``paused=True``."""
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": paused})

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: str | None = None,
    ) -> str:
        """Start a run and return its id.

        :param logical_date: ISO 8601, or ``None`` for a run without dates.
        """
        body: dict[str, Any] = {"logical_date": logical_date, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return every run of a DAG, in the order of their dates."""
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns", params={"limit": 1000, "order_by": "run_after"})
        return list(answer["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run."""
        return dict(self.call("GET", _run_path(dag_id, run_id)))

    def wait_run(self, dag_id: str, run_id: str, timeout: float = 180) -> str:
        """Wait for a run's end and return its state, ``success`` or ``failed``.

        :raises TimeoutError: with the states of its tasks.
        """
        deadline = time.monotonic() + timeout
        while True:
            state = str(self.run(dag_id, run_id)["state"])
            if state in FINAL_RUN_STATES:
                return state
            if time.monotonic() > deadline:
                raise TimeoutError(f"Run {run_id} of {dag_id} is still {state}: {self.task_states(dag_id, run_id)}")
            time.sleep(0.2)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        answer = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances", params={"limit": 1000})
        return list(answer["task_instances"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run."""
        return {instance["task_id"]: instance["state"] for instance in self.task_instances(dag_id, run_id)}

    def wait_task(
        self, dag_id: str, run_id: str, task_id: str, states: Sequence[str] = FINAL_TASK_STATES, timeout: float = 120
    ) -> dict[str, Any]:
        """Wait until a task is in one of the states, and return it.

        :raises TimeoutError: with the state it is in.
        """
        deadline = time.monotonic() + timeout
        while True:
            instance = self.call("GET", _task_path(dag_id, run_id, task_id))
            if instance["state"] in states:
                return dict(instance)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"Task {task_id} of {run_id} is {instance['state']}, not one of {', '.join(states)}."
                )
            time.sleep(0.2)

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task ``success``, ``failed`` or ``skipped``, as a person does in the UI."""
        self.call("PATCH", _task_path(dag_id, run_id, task_id), {"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str], downstream: bool = False) -> None:
        """Clear tasks of a run, as a person does in the UI."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "include_downstream": downstream,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task returned."""
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{quote(key, safe='')}"
        return self.call("GET", path, params={"deserialize": "false", "stringify": "false"})["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of a try as lines of text: level, message, and what else belongs to an entry."""
        path = f"{_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        content = self.call("GET", path, params={"full_content": "true"})["content"]
        return "\n".join(_log_line(entry) for entry in content)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _task_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}"


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    line = f"{str(entry.get('level') or '').upper():8} {entry.get('event', '')}"
    for detail in entry.get("error_detail") or []:
        line += f"\n{detail.get('exc_type')}: {detail.get('exc_value')}"
        for frame in detail.get("frames") or []:
            line += f"\n    {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
    return line
