"""Where a call of an endpoint goes: the DAG of its default version, read from the store of the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from airflow_mlpipe.errors import ConfigError, MLPipeError, ParameterError
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.plugins.answers import refused
from airflow_mlpipe.publishing.endpoints import Endpoints


@dataclass(frozen=True)
class Target:
    """A DAG to start.

    :param others: DAGs of the endpoint's other versions.
    :param facts: further words of the answer.
    """

    dag_id: str
    others: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def target_of(endpoint: str, version: str | None) -> Target:
    """Return where a call goes; the workspace is that of the connection ``mlpipe_default``.

    :param version: number of a version as text, ``None`` for the default.
    :raises RefusedError: 404 for an unknown endpoint or version, 409 for one that takes no calls, 503 if the store of
        the workspace cannot be read.
    """
    if version is not None and not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise refused(HTTPStatus.BAD_REQUEST, "pipelineVersion", "must be the number of a version, from 0.")
    try:
        store = MLPipeHook().get_workspace().datastore()
    except MLPipeError as error:
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "endpoint", str(error)) from None
    try:
        now, chosen = Endpoints(store).resolve(endpoint, None if version is None else int(version))
    except ParameterError as error:
        raise refused(HTTPStatus.CONFLICT, "endpoint", str(error)) from None
    except ConfigError as error:
        raise refused(HTTPStatus.NOT_FOUND, "endpoint", str(error)) from None
    except MLPipeError as error:
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "endpoint", str(error)) from None
    others = tuple({item.dag_id: None for item in now.versions if item.dag_id != chosen.dag_id})
    return Target(chosen.dag_id, others, {"Endpoint": endpoint, "PipelineVersion": str(chosen.number)})
