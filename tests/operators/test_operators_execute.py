"""The worker's side, with real jobs on the local target and a store in a temporary folder."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_mlpipe.compute.base import JobHandle, JobState, JobStatus
from airflow_mlpipe.errors import StepFailedError
from airflow_mlpipe.execution.run_info import Ticket
from airflow_mlpipe.hooks.mlpipe import MLPipeHook
from airflow_mlpipe.operators import CommandOperator, DataTransferOperator, PythonScriptOperator
from airflow_mlpipe.operators.attempt import Attempt
from airflow_mlpipe.triggers.job import JobTrigger, event_of

pytestmark = pytest.mark.airflow


def script(project: Any, *arguments: Any, task_id: str = "a", **fields: Any) -> PythonScriptOperator:
    """Return a step in a DAG of its own."""
    words = ["--out", "${{outputs.o}}", *arguments]
    fields = {"code": "src", "outputs": {"o": {}}, "poll_interval": 0.2, **fields}
    with project.dag(**fields.pop("dag", {})):
        return PythonScriptOperator(task_id=task_id, script_name="step.py", arguments=words, **fields)


def status_of(project: Any, ticket: Ticket) -> JobStatus:
    return MLPipeHook(folder=project.folder / "dags").status(ticket.handle)


def test_a_step_runs_once_and_is_then_reused(project: Any, task_log: Callable[[], str]) -> None:
    operator = script(project, "--text", "${{inputs.t}}", inputs={"t": "$(touch x)'{{ ds }}"})
    outputs = operator.execute(project.context(operator))
    place = outputs["o"].removeprefix("azureml://datastores/workspaceblobstore/paths/")
    assert (project.folder / "store" / place / "result.txt").read_text() == "$(touch x)'{{ ds }}"
    assert "(adoptable); streaming its log" in task_log()
    assert '| arguments ["--out"' in task_log()
    assert operator.execute(project.context(operator, run_id="run-2")) == outputs
    assert "reuse: identical to run run-1" in task_log()
    assert len(project.submissions()) == 1


def test_a_clear_runs_again_and_a_retry_does_not(project: Any) -> None:
    operator = script(project)
    first = operator.execute(project.context(operator, max_tries=2))
    assert operator.execute(project.context(operator, max_tries=2)) == first
    assert len(project.submissions()) == 1
    assert operator.execute(project.context(operator, max_tries=5)) != first
    assert len(project.submissions()) == 2


def test_a_failed_script_ends_in_its_own_words(project: Any) -> None:
    operator = script(project, "--fail", 3)
    with pytest.raises(AirflowException) as error:
        operator.execute(project.context(operator))
    assert not isinstance(error.value, AirflowFailException)
    assert "exit code 3" in str(error.value)
    assert "no such column: carrier" in str(error.value)
    assert error.value.__suppress_context__
    frames = [entry.path.name for entry in error.traceback if "airflow_mlpipe" in str(entry.path)]
    assert frames == ["base.py"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"compute": "gpu"}, "has no compute target 'gpu'"),
        ({"mlpipe_conn_id": "nowhere"}, "no Airflow connection 'nowhere'"),
        ({"inputs": {"x": "${{parent.inputs.month}}"}}, "month"),
        ({"environment": "missing"}, "missing"),
    ],
)
def test_a_users_mistake_is_not_retried(project: Any, fields: dict[str, Any], message: str) -> None:
    operator = script(project, **fields)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(project.context(operator))
    assert project.submissions() == []


def test_a_long_job_is_handed_to_the_trigger(project: Any, task_log: Callable[[], str]) -> None:
    operator = script(project, "--sleep", 3, defer_after=0.2)
    context = project.context(operator)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    name, arguments = deferred.value.trigger.serialize()
    assert name == "airflow_mlpipe.triggers.job.JobTrigger"
    assert deferred.value.method_name == "execute_complete"

    async def wait() -> list[Any]:
        return [event.payload async for event in JobTrigger(**arguments).run()]

    [payload] = asyncio.run(wait())
    assert payload["state"] == "succeeded"
    outputs = operator.execute_complete(context, event=payload, **deferred.value.kwargs)
    assert list(outputs) == ["o"]
    assert operator.execute(project.context(operator)) == outputs
    assert len(project.submissions()) == 1
    assert task_log().count("| arguments") == 1


def test_not_deferrable_waits_to_the_end(project: Any) -> None:
    operator = script(project, "--sleep", 1, defer_after=0.0, deferrable=False)
    assert list(operator.execute(project.context(operator))) == ["o"]


@contextmanager
def deferred_job(project: Any, operator: Any, **context: Any) -> Iterator[TaskDeferred]:
    """Run a step up to its deferral; whatever happens, its job is ended."""
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(project.context(operator, **context))
    try:
        yield deferred.value
    finally:
        MLPipeHook(folder=project.folder / "dags").cancel(deferred.value.trigger.ticket.handle, grace=0)


def test_a_retry_adopts_the_running_job(project: Any, task_log: Callable[[], str]) -> None:
    operator = script(project, "--sleep", 30, defer_after=0.1)
    with deferred_job(project, operator) as first, deferred_job(project, operator) as second:
        assert second.trigger.ticket.handle == first.trigger.ticket.handle
    assert "adopting" in task_log()
    assert len(project.submissions()) == 1


def test_a_clear_ends_the_old_job_and_only_that(project: Any, wait_until: Callable[..., Any]) -> None:
    operator = script(project, "--sleep", 30, defer_after=0.1)
    with deferred_job(project, operator, max_tries=1) as old, deferred_job(project, operator, max_tries=2) as new:
        asyncio.run(old.trigger.on_kill())
        wait_until(lambda: status_of(project, old.trigger.ticket).state.is_terminal)
        assert not status_of(project, new.trigger.ticket).state.is_terminal
    assert len(project.submissions()) == 2


def test_a_kill_ends_the_job_while_the_worker_waits(project: Any, wait_until: Callable[..., Any]) -> None:
    operator = script(project, "--sleep", 60, deferrable=False)
    errors: list[BaseException] = []

    def execute() -> None:
        try:
            operator.execute(project.context(operator))
        except AirflowException as error:
            errors.append(error)

    worker = threading.Thread(target=execute)
    worker.start()
    wait_until(project.submissions)
    pid = int(wait_until(lambda: next((path.read_text() for path in project.folder.glob("jobs/*/code/pid")), "")))
    operator.on_kill()
    worker.join(30)
    assert "this try was ended from outside" in str(errors[0])
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_kill_while_the_job_is_being_submitted_ends_it(project: Any) -> None:
    operator = script(project, "--sleep", 60)
    attempt = Attempt.open(operator, project.context(operator))
    attempt.kill()
    with pytest.raises(StepFailedError, match="this try was ended from outside"):
        attempt.run()
    [submission] = project.submissions()
    handle = JobHandle("local", submission["key"], submission["key"])
    assert status_of(project, Ticket(handle, 1)).state.is_terminal


def test_a_kill_before_anything_began_does_nothing(project: Any) -> None:
    operator = script(project)
    operator.on_kill()
    assert project.submissions() == []


def test_the_deadline_is_the_nearest_limit(project: Any) -> None:
    from datetime import timedelta

    limits = {"execution_timeout": timedelta(seconds=50), "timeout": 90}
    operator = script(project, "--sleep", 30, defer_after=0.1, **limits)
    with deferred_job(project, operator) as deferred:
        assert 0 < deferred.trigger.polling["deadline"] - time.time() <= 50
    operator = script(project, "--sleep", 30, defer_after=0.1, task_id="b")
    with deferred_job(project, operator) as deferred:
        assert deferred.trigger.polling["deadline"] > time.time() + 86400


def test_a_trigger_that_could_not_follow_leaves_the_job_to_the_retry(project: Any) -> None:
    operator = script(project, "--sleep", 30, defer_after=0.1)
    with deferred_job(project, operator) as deferred:
        with pytest.raises(AirflowException, match=r"store is away.*takes the job up again"):
            operator.execute_complete(
                project.context(operator),
                event={"key": deferred.trigger.ticket.handle.key, "error": "store is away."},
                **deferred.kwargs,
            )
        assert not status_of(project, deferred.trigger.ticket).state.is_terminal


def test_a_job_that_failed_in_the_trigger_fails_the_task(project: Any) -> None:
    operator = script(project, "--fail", 4, "--sleep", 1, defer_after=0.1)
    with deferred_job(project, operator) as deferred:
        key = deferred.trigger.ticket.handle.key
        overdue = event_of(key, JobStatus(JobState.FAILED, message="It did not end within its timeout."))
        with pytest.raises(AirflowException, match="did not end within its timeout"):
            operator.execute_complete(project.context(operator), event=overdue, **deferred.kwargs)


def test_the_end_of_another_job_is_not_ours(project: Any, wait_until: Callable[..., Any]) -> None:
    operator = script(project, "--sleep", 3, defer_after=0.1)
    other = event_of("mlp-other", JobStatus(JobState.CANCELLED))
    with deferred_job(project, operator) as deferred:
        with pytest.raises(TaskDeferred) as again:
            operator.execute_complete(project.context(operator), event=other, **deferred.kwargs)
        assert again.value.trigger.ticket.handle == deferred.trigger.ticket.handle
        wait_until(lambda: status_of(project, deferred.trigger.ticket).state.is_terminal)
        assert list(operator.execute_complete(project.context(operator), event=other, **deferred.kwargs)) == ["o"]
    assert len(project.submissions()) == 1


def test_a_transfer_copies_without_a_job(project: Any) -> None:
    with project.dag():
        operator = DataTransferOperator(
            task_id="t", inputs={"raw": {"path": "azureml://datastores/landing/paths/raw"}}, outputs={"o": {}}
        )
    outputs = operator.execute(project.context(operator))
    place = outputs["o"].removeprefix("azureml://datastores/workspaceblobstore/paths/")
    assert (project.folder / "store" / place / "a.csv").read_text() == "1,2\n"
    assert project.submissions() == []


def test_the_second_step_reads_the_first(project: Any) -> None:
    with project.dag():
        first = CommandOperator(task_id="a", command='echo 7 > "${{outputs.o}}/n"', outputs={"o": {}})
        second = CommandOperator(
            task_id="b",
            command="cat ${{inputs.i}}/n > ${{outputs.o}}/m",
            inputs={"i": first.outputs["o"]},
            outputs={"o": {}},
        )
    with pytest.raises(AirflowException, match="needs the outputs of step a"):
        second.execute(project.context(second))
    first.execute(project.context(first))
    place = second.execute(project.context(second))["o"].removeprefix("azureml://datastores/workspaceblobstore/paths/")
    assert (project.folder / "store" / place / "m").read_text() == "7\n"


def test_tickets_cross_a_deferral_unchanged() -> None:
    ticket = Ticket(JobHandle("local", f"mlp-{os.getpid()}", "x"), 3, 12.5)
    assert Ticket.from_json(ticket.to_json()) == ticket
