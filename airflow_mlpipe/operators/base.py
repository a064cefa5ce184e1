"""What every step operator has in common; the leaves only say what kind of work it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_mlpipe.errors import ConfigError, MLPipeError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.hooks.edge import DEFAULT_CONN_ID, dag_folder, for_airflow
from airflow_mlpipe.operators.ports import StepOutputs, build_step, output_refs, plain_inputs, producers
from airflow_mlpipe.spec.step import Step

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mlpipe.operators.attempt import Attempt
    from airflow_mlpipe.triggers.job import JobTrigger
    from airflow_mlpipe.triggers.turn import TurnTrigger


class MLPipeOperator(BaseOperator):
    """What all operators of this package share: a workspace, and no templates.

    Nothing is rendered by Jinja: a literal ``{{ ds }}`` stays those eight characters. What belongs to the run comes in
    by ``${{airflow.ds}}`` and the other run fields.

    :param mlpipe_conn_id: Airflow connection of type ``mlpipe``. Without that connection, the nearest
        ``workspace.yml``.
    """

    template_fields: Sequence[str] = ()

    def __init__(self, *, mlpipe_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlpipe_conn_id = mlpipe_conn_id

    @classmethod
    def partial(cls, **kwargs: Any) -> NoReturn:  # noqa: ARG003 - Airflow's signature
        """Refuse dynamic task mapping: a step is one entry of the run record.

        :raises ConfigError: always, with what to do instead.
        """
        raise ConfigError(
            f"{cls.__name__} cannot be mapped with partial() and expand(): each step has one record in a run. Create "
            "the steps in a Python loop with names of their own, or let a ParallelRunOperator work through the files."
        )

    @property
    def folder(self) -> Path:
        """Folder of the DAG file; relative paths start there."""
        return dag_folder(self)


class JobOperator(MLPipeOperator):
    """An operator that begins a step, waits for its job, and ends the step: one lifecycle for both ways of waiting.

    :param deferrable: give the worker's slot back while a long job runs. Default: ``[mlpipe] default_deferrable``,
        True.
    :param poll_interval: seconds between two looks at the job.
    :param defer_after: seconds that the worker waits before it defers, so that a short step costs no deferral.
    """

    _running: Attempt | None = None

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("mlpipe", "default_deferrable", fallback=True),
        poll_interval: float = 5.0,
        defer_after: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.defer_after = defer_after

    @property
    def step(self) -> Step:
        """The step that this operator is."""
        raise TypeError(f"{type(self).__name__} has no step; derive from BaseStepOperator.")

    def execute(self, context: Context) -> dict[str, str]:
        """Reuse the step or run it; defer when it takes long.

        :returns: output port to data address, ``azureml://datastores/<name>/paths/<path>``.
        """
        from airflow_mlpipe.operators.attempt import Attempt  # noqa: PLC0415 - heavy, not needed to parse a DAG

        try:
            self._running = Attempt.open(self, context)
            outcome = self._running.run()
        except MLPipeError as error:
            raise for_airflow(error) from None
        return outcome if isinstance(outcome, dict) else self._hand_over(outcome)

    def _hand_over(self, trigger: JobTrigger | TurnTrigger) -> NoReturn:
        self.defer(trigger=trigger, method_name=trigger.resume_with, kwargs=trigger.resume_arguments)

    def execute_complete(self, context: Context, event: Mapping[str, Any], ticket: Mapping[str, Any]) -> dict[str, str]:
        """End the step after its deferral; see :meth:`execute`.

        :param event: the job's final status, from :class:`~airflow_mlpipe.triggers.job.JobTrigger`.
        :param ticket: which job.
        """
        from airflow_mlpipe.operators.attempt import Attempt  # noqa: PLC0415 - heavy, not needed to parse a DAG

        try:
            self._running = Attempt.open(self, context)
            outcome = self._running.resume(ticket, event)
        except MLPipeError as error:
            raise for_airflow(error) from None
        return outcome if isinstance(outcome, dict) else self._hand_over(outcome)

    def execute_after_wait(
        self, context: Context, event: Mapping[str, Any], waiting: Mapping[str, Any]
    ) -> dict[str, str]:
        """Begin the step again after waiting for another run that computes the same one; see :meth:`execute`.

        :param event: how the wait ended, from :class:`~airflow_mlpipe.triggers.turn.TurnTrigger`.
        :param waiting: whom this step waited for.
        """
        from airflow_mlpipe.operators.attempt import Attempt  # noqa: PLC0415 - heavy, not needed to parse a DAG

        try:
            self._running = Attempt.open(self, context)
            outcome = self._running.run_after_wait(waiting, event)
        except MLPipeError as error:
            raise for_airflow(error) from None
        return outcome if isinstance(outcome, dict) else self._hand_over(outcome)

    def on_kill(self) -> None:
        """End the job of this try, and no other; Airflow kills this process five seconds later."""
        if self._running is not None:
            self._running.kill()


def steps_of(dag: Any) -> Iterator[Step]:
    """Yield the steps of a DAG, each after those that it depends on."""
    for task in dag.topological_sort():
        if isinstance(task, BaseStepOperator):
            yield task.step


class BaseStepOperator(JobOperator):
    """One step of a pipeline: reused if nothing that counts has changed, else run on its compute target.

    Not used directly; see :class:`~airflow_mlpipe.operators.command.CommandOperator` and the other leaves. The
    arguments are the fields of :class:`~airflow_mlpipe.spec.step.Step`; ``task_id`` is the step's name. The arguments
    of
    :class:`JobOperator` and of Airflow's ``BaseOperator`` (``retries``, ``pool``, ``queue``, ...) are accepted as well.
    ``trigger_rule`` is ``none_failed`` if not given, because reused steps are skipped by the plan task.

    :param inputs: port name to a literal, a text with ``${{parent.inputs.x}}`` or ``${{airflow.x}}`` in it, data as the
        keys of :class:`~airflow_mlpipe.spec.step.InputData`, or the output of another step:
        ``prepare.outputs["features"]`` (or the text ``${{parent.jobs.prepare.outputs.features}}``), which also puts
        that step before this one if it is defined already.
    :param outputs: port name to the keys of :class:`~airflow_mlpipe.spec.step.OutputData`; ``{}`` for a folder.
    :param code: source folder, relative to the DAG file.
    :param additional_includes: files and folders beside ``code`` that belong to the source.
    :param environment: name of a workspace environment, or a definition; ``None`` for the target's own Python.
    :param environment_variables: for the command.
    :param compute: name of the compute target, ``None`` for the workspace's default.
    :param is_deterministic: False: never reused.
    :param reuse_version: any text; changing it disowns earlier results.
    :param ttl: seconds after which an earlier result is too old to be reused.
    :param timeout: seconds for the job on its target.
    :param work: the fields that only this kind of step has.
    :param resources: the hardware it asks for: ``instance_count``, ``cpus``, ``memory`` (bytes), ``gpus``.
    :param distribution: ``{"type": "mpi" | "pytorch" | "tensorflow" | "ray", "process_count_per_instance": 4}``.
    :raises ConfigError: naming every mistake.
    """

    step_type: ClassVar[str] = "command"
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        code: str | None = None,
        additional_includes: Sequence[str] = (),
        environment: str | Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        compute: str | None = None,
        is_deterministic: bool = True,
        reuse_version: str = "",
        ttl: float | None = None,
        timeout: float | None = None,
        work: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("trigger_rule", "none_failed")
        machines = {name: kwargs.pop(name, None) for name in ("resources", "distribution")}
        super().__init__(**kwargs)
        fields = {
            "inputs": plain_inputs(inputs or {}),
            "outputs": {port: value or {} for port, value in (outputs or {}).items()},
            "code": code,
            "additional_includes": additional_includes,
            "environment": environment,
            "environment_variables": environment_variables or {},
            "compute": compute,
            "is_deterministic": is_deterministic,
            "reuse_version": reuse_version,
            "ttl": ttl,
            "timeout": timeout,
            **machines,
            **(work or {}),
        }
        self._step = build_step(self.task_id, self.step_type, fields)
        for operator in (*producers(inputs or {}), *self._named_producers()):
            self.set_upstream(operator)

    def _named_producers(self) -> Iterator[Any]:
        for _, ref in output_refs(self._step):
            if self.has_dag() and ref.job in self.dag.task_dict:  # type: ignore[no-untyped-call]
                yield self.dag.task_dict[ref.job]

    @property
    def outputs(self) -> StepOutputs:
        """The outputs, to be given as inputs to other steps."""
        return StepOutputs(self, self._step.outputs)

    @property
    def step(self) -> Step:
        """The step that this operator is, with the steps that come before it.

        :raises ConfigError: if it reads the output of a step that does not come before it.
        """
        for port, ref in output_refs(self._step):
            if ref.job not in self.upstream_task_ids and ref.job not in self.get_flat_relative_ids(upstream=True):
                raise ConfigError(
                    f"Step {self.task_id}: input {port!r} reads {ref}, but no step {ref.job!r} comes before this one. "
                    f"Give the input as {ref.job}.outputs[{ref.port!r}], or write {ref.job} >> {self.task_id}."
                )
        return replaced(self._step, upstream=tuple(sorted(self._steps_before(self))))

    def _steps_before(self, operator: Any) -> set[str]:
        """Return the nearest steps before an operator, looking through tasks that are no steps."""
        steps: set[str] = set()
        for task_id in operator.upstream_task_ids:
            task = self.dag.task_dict[task_id]
            steps |= {task_id} if isinstance(task, BaseStepOperator) else self._steps_before(task)
        return steps
