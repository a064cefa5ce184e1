"""What a caller gets: a run in Azure's words, or what was wrong and in which field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fastapi.responses import JSONResponse

from airflow_mlpipe.airflow_rest.runs import AirflowRun, run_path
from airflow_mlpipe.execution.run_request import RequestFault

_STATUS = {"queued": "NotStarted", "running": "Running", "success": "Finished", "failed": "Failed"}
_PARAM = re.compile(r"([^:\s]+): ")


class RefusedError(Exception):
    """A call is refused.

    :param status: HTTP status.
    :param faults: what is wrong, and where.
    """

    def __init__(self, status: int, faults: Iterable[RequestFault]) -> None:
        self.status = status
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))

    def answer(self) -> JSONResponse:
        """Return it in the form of Azure's errors: each detail has its field as ``target``."""
        details = [{"target": fault.field, "message": fault.message} for fault in self.faults]
        code = "UserError" if self.status < 500 else "ServiceError"
        return JSONResponse({"error": {"code": code, "message": str(self), "details": details}}, self.status)


def refused(status: int, field: str, message: str) -> RefusedError:
    """Return a refusal with one fault."""
    return RefusedError(status, [RequestFault(field, message)])


def refused_by_airflow(status: int, said: str, parameters: Iterable[str], field: str) -> RefusedError:
    """Return Airflow's own refusal; a parameter that it names becomes the field.

    :param said: Airflow's sentence.
    :param parameters: names of the pipeline's parameters.
    :param field: what they stand under in the body.
    """
    match = _PARAM.match(said)
    if match and match[1] in parameters:
        return refused(status, f"{field}.{match[1]}", said[match.end() :])
    return refused(status, "runId" if "run" in said.lower() else "", said)


def submitted(run: AirflowRun, is_new: bool, root: str) -> dict[str, Any]:
    """Return a run as the answer of a submission.

    :param is_new: whether this call made it.
    :param root: path under which Airflow is served.
    """
    return {
        "Id": run.run_id,
        "Status": _STATUS.get(run.state, run.state),
        "Created": is_new,
        "DagId": run.dag_id,
        "StatusUrl": f"{root}{run_path(run.dag_id, run.run_id)}",
    }
