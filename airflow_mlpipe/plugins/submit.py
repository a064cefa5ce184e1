"""The routes that take Azure ML's calls, ``POST .../PipelineRuns/PipelineSubmit/<pipeline>`` and that of endpoints.

They read the body, refuse what is wrong with 400 and the field, and hand the rest to Airflow's public API as the user
who is calling. Login and permission are asked for first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from airflow_mlpipe.airflow_rest.refusals import sentence
from airflow_mlpipe.airflow_rest.runs import AirflowRun, DagFacts, dag_path, run_path
from airflow_mlpipe.execution.run_request import RequestError, field_of_parameters, new_run_id, plain_conf
from airflow_mlpipe.plugins import PREFIX
from airflow_mlpipe.plugins.airflow_inside import AirflowInside
from airflow_mlpipe.plugins.answers import RefusedError, refused, refused_by_airflow, submitted
from airflow_mlpipe.plugins.endpoint_target import Target, target_of

_MAX_BODY = 1 << 20
_may_trigger = requires_access_dag("POST", DagAccessEntity.RUN)


def create_app(outer: Any) -> FastAPI:
    """Return the app; every route needs a login, and there is no page that describes them to strangers.

    :param outer: Airflow's app.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.state.auth_manager = outer.state.auth_manager
    app.state.airflow = outer
    app.add_exception_handler(RefusedError, _answer_refused)
    app.post("/PipelineRuns/PipelineSubmit/{pipeline}")(submit_pipeline)
    app.post("/PipelineRuns/PipelineEndpointSubmit/Id/{endpoint}")(submit_endpoint)
    return app


async def _answer_refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RefusedError):
        raise error
    return error.answer()


async def submit_pipeline(pipeline: str, request: Request, user: GetUserDep) -> dict[str, Any]:
    """Start a run of a DAG, or return the one that has the given ``runId`` already.

    Query: ``runId`` makes the call idempotent, ``parentRunId`` is kept as a label.
    """
    await _permit(pipeline, request, user)
    return await _submit(Target(pipeline), request)


async def submit_endpoint(endpoint: str, request: Request, user: GetUserDep) -> dict[str, Any]:
    """Start a run of the version that an endpoint leads to.

    Query: as :func:`submit_pipeline`; ``pipelineVersion`` asks for another version than the default.
    """
    try:
        target = await asyncio.to_thread(target_of, endpoint, request.query_params.get("pipelineVersion"))
    except RefusedError:
        await _permit(endpoint, request, user)  # who may trigger nothing learns nothing of endpoints
        raise
    await _permit(target.dag_id, request, user)
    return await _submit(target, request)


async def _permit(dag_id: str, request: Request, user: Any) -> None:
    """Refuse with 403 unless the user may trigger the DAG; Airflow reads its id from the path."""
    request.scope["path_params"]["dag_id"] = dag_id
    await asyncio.to_thread(_may_trigger, request, user)


async def _submit(target: Target, request: Request) -> dict[str, Any]:
    body = await _body(request)
    airflow = AirflowInside(request.app.state.airflow, request.headers)
    dag = await _dag(airflow, target.dag_id)
    try:
        conf = plain_conf(body, dag.schemas)
    except RequestError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, error.faults) from None
    run_id = request.query_params.get("runId")
    run = None if run_id is None else await _earlier(airflow, target, conf, run_id)
    is_new = False
    if run is None:
        run, is_new = await _trigger(airflow, dag, conf, run_id or new_run_id(), field_of_parameters(body))
    root = request.scope.get("root_path", "").removesuffix(PREFIX)
    return {**submitted(run, is_new, root), **target.facts}


async def _body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type", "must be application/json.")
    text = b""
    async for part in request.stream():
        text += part
        if len(text) > _MAX_BODY:
            raise refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", f"the body is larger than {_MAX_BODY} bytes.")
    try:
        body = json.loads(text or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refused(HTTPStatus.BAD_REQUEST, "", f"the body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise refused(HTTPStatus.BAD_REQUEST, "", "the body must be an object.")
    parent = request.query_params.get("parentRunId")
    return body if parent is None else {**body, "ParentRunId": parent}


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


async def _dag(airflow: AirflowInside, dag_id: str) -> DagFacts:
    answer = await airflow.call("GET", f"{dag_path(dag_id)}/details")
    if not answer.is_success:
        raise refused(answer.status_code, "pipeline", sentence(answer))
    return DagFacts.from_json(answer.json())


async def _trigger(
    airflow: AirflowInside, dag: DagFacts, conf: Mapping[str, Any], run_id: str, field: str
) -> tuple[AirflowRun, bool]:
    body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
    answer = await airflow.call("POST", f"{dag_path(dag.dag_id)}/dagRuns", body)
    if answer.is_success:
        return AirflowRun.from_json(answer.json()), True
    if answer.status_code != HTTPStatus.CONFLICT:
        raise refused_by_airflow(answer.status_code, sentence(answer), dag.schemas, field)
    run = await _existing(airflow, dag.dag_id, conf, run_id)
    if run is None:
        raise refused(HTTPStatus.CONFLICT, "runId", sentence(answer))
    return run, False


async def _earlier(airflow: AirflowInside, target: Target, conf: Mapping[str, Any], run_id: str) -> AirflowRun | None:
    """Return the run with this id of another version of the endpoint: its default may have been switched since."""
    for dag_id in target.others:
        run = await _existing(airflow, dag_id, conf, run_id)
        if run is not None:
            return run
    return None


async def _existing(airflow: AirflowInside, dag_id: str, conf: Mapping[str, Any], run_id: str) -> AirflowRun | None:
    """Return the run with this id, ``None`` if there is none.

    :raises RefusedError: if it was started with other parameters.
    """
    found = await airflow.call("GET", run_path(dag_id, run_id))
    if not found.is_success:
        return None
    run = AirflowRun.from_json(found.json())
    if dict(run.conf) != dict(conf):
        raise refused(HTTPStatus.CONFLICT, "runId", f"the run {run_id!r} exists with other parameters.")
    return run
