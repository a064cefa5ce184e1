"""From a job to what Ray is asked to start."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.compute.job_parts import JobResources
from airflow_mlpipe.errors import SubmitRejectedError

_CPUS = 1


def check_resources(name: str, resources: JobResources) -> None:
    """Refuse what one Ray job cannot have.

    :param name: of the target.
    :raises SubmitRejectedError: naming what was asked for and what to do.
    """
    kind = resources.distribution.kind if resources.distribution else None
    if kind not in (None, "ray"):
        raise SubmitRejectedError(
            f"compute {name} is a Ray cluster and cannot start a job as {kind!r}. Use distribution: {{type: ray}} and "
            "let the script start its own Ray tasks, or another target."
        )
    if resources.instance_count > 1 and kind is None:
        raise SubmitRejectedError(
            f"compute {name}: instance_count is {resources.instance_count}, but a Ray job runs on one node unless its "
            "script starts Ray tasks. Write distribution: {type: ray}, or leave instance_count out."
        )


def job_request(entrypoint: str, key: str, resources: JobResources) -> dict[str, Any]:
    """Return the body of the request.

    The resources are those of the script itself. What its Ray tasks need they ask for on their own.

    :param entrypoint: shell text.
    """
    body: dict[str, Any] = {
        "entrypoint": entrypoint,
        "submission_id": key,
        "metadata": {"started_by": "airflow-mlpipe"},
    }
    if resources.cpus is not None:
        body["entrypoint_num_cpus"] = resources.cpus
    if resources.gpus:
        body["entrypoint_num_gpus"] = resources.gpus
    if resources.memory is not None:
        body["entrypoint_memory"] = resources.memory
    return body
