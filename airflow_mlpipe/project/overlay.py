"""What an environment changes in a pipeline: a closed set of things, each checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_mlpipe.errors import ParameterError, SpecError
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.project.documents import EnvironmentKeys, OverlayKeys
from airflow_mlpipe.spec.diagnostics import Fault, Faults, Place, did_you_mean, listed
from airflow_mlpipe.spec.jobs import is_dag_id
from airflow_mlpipe.spec.model import AirflowBlock, Parameter, PipelineSpec, Schedule, StepOptions
from airflow_mlpipe.spec.schedules import build_schedule, read_trigger
from airflow_mlpipe.spec.software import compute_name
from airflow_mlpipe.spec.step import InputData, OutputData, Step
from airflow_mlpipe.spec.structure import describe

_DATASTORE = re.compile(r"azureml://datastores/(?P<name>[^/]+)/", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", re.ASCII)
_EVERY = "*"
_ANY_DATE = datetime(2000, 1, 1)  # noqa: DTZ001 - only whether there is one counts


@dataclass(frozen=True)
class Changes:
    """Changes of pipelines, checked as far as that goes without one.

    :param schedule: ``None``: as the file says; ``False``: none.
    :param compute: target of the file to the one to take; ``*`` stands for every job.
    :param pool: like ``compute``.
    :param parameters: name to default.
    """

    place: Place = field(repr=False)
    schedule: Any = None
    compute: Mapping[str, str] = field(default_factory=dict)
    datastore: Mapping[str, str] = field(default_factory=dict)
    pool: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overlay:
    """An environment's changes.

    :param name: of the environment.
    :param general: for every pipeline.
    :param single: for one pipeline by its name; applied after ``general``.
    """

    name: str
    prefix: str
    suffix: str
    general: Changes
    single: Mapping[str, Changes]

    def apply(self, spec: PipelineSpec) -> PipelineSpec:
        """Return the pipeline of this environment.

        :raises SpecError: if a change does not fit the pipeline, with places in ``mlpipe.toml``.
        """
        faults = Faults()
        changed = _Application(spec, self.general, faults, strict=False).result()
        if spec.name in self.single:
            changed = _Application(changed, self.single[spec.name], faults, strict=True).result()
        dag_id = f"{self.prefix}{spec.airflow.dag_id or spec.name}{self.suffix}"
        if faults.errors:
            raise SpecError(faults.errors)
        airflow = replaced(changed.airflow, dag_id=dag_id if spec.airflow.dag_id else None)
        return replaced(changed, airflow=airflow, name=dag_id)

    def unknown_pipelines(self, names: set[str]) -> list[Fault]:
        """Return a fault for each pipeline that is named here and is none of these."""
        faults = Faults()
        for name, changes in self.single.items():
            if name not in names:
                hint = did_you_mean(name, names) or f" Known: {listed(names)}."
                faults.add(changes.place, "MLP156", f"there is no pipeline '{name}'.{hint}", of_key=True)
        return list(faults.errors)


def read_overlay(name: str, keys: EnvironmentKeys, place: Place, faults: Faults) -> Overlay:
    """Check an environment; ``place`` is its own."""
    for key in ("dag_id_prefix", "dag_id_suffix"):
        text = getattr(keys, key)
        if text and not is_dag_id(f"x{text}"):
            rule = "ASCII letters, digits, '_', '-', '.'"
            faults.add(place / key, "MLP030", f"{text!r} cannot be a part of a DAG id: {rule}.")
    single = {
        pipeline: _changes(value, place / "pipelines" / pipeline, faults) for pipeline, value in keys.pipelines.items()
    }
    return Overlay(name, keys.dag_id_prefix, keys.dag_id_suffix, _changes(keys, place, faults), single)


def _changes(keys: OverlayKeys, place: Place, faults: Faults) -> Changes:
    _check_schedule(keys.schedule, place / "schedule", faults)
    for old, new in keys.datastore.items():
        if not _NAME.fullmatch(new):
            faults.add(place / "datastore" / old, "MLP024", f"must be the name of a datastore, got {new!r}.")
    return Changes(
        place=place,
        schedule=keys.schedule,
        compute=_names(keys.compute, place / "compute", faults, compute_name),
        datastore=dict(keys.datastore),
        pool=_names(keys.pool, place / "pool", faults, lambda text, *_: text),
        parameters=dict(keys.parameters),
        tags=tuple(keys.tags),
    )


def _check_schedule(value: Any, place: Place, faults: Faults) -> None:
    if value is True:
        faults.add(place, "MLP023", "must be cron text, a preset, a table with 'type' or false, got true.")
    elif value is not None and value is not False:
        trigger = read_trigger(value, place, faults)
        if trigger is not None:
            build_schedule(trigger, _ANY_DATE, place, faults)


def _names(
    value: Any, place: Place, faults: Faults, read: Callable[[str | None, Place, Faults], str | None]
) -> dict[str, str]:
    """Return what replaces what; one name alone replaces all."""
    pairs = {_EVERY: value} if isinstance(value, str) else value
    if pairs is None:
        return {}
    if not isinstance(pairs, dict) or not all(isinstance(new, str) and new for new in pairs.values()):
        faults.add(place, "MLP023", f"must be a name, or a table of names to names, got {describe(value)}.")
        return {}
    found = {old: read(new, place if old == _EVERY else place / old, faults) for old, new in pairs.items()}
    return {old: new for old, new in found.items() if new is not None}


@dataclass
class _Application:
    """Changes one pipeline.

    :param strict: the changes are for this pipeline alone, so each must find what it changes.
    """

    spec: PipelineSpec
    changes: Changes
    faults: Faults
    strict: bool

    def result(self) -> PipelineSpec:
        spec, changes = self.spec, self.changes
        block = spec.airflow
        if self.strict:
            self._check_names()
        airflow = {
            "schedule": self._schedule(block),
            "tags": tuple(dict.fromkeys([*block.tags, *changes.tags])),
            "pool": _replaced(changes.pool, block.pool),
        }
        options = {name: self._options(value) for name, value in spec.step_options.items()}
        return replaced(
            spec,
            airflow=replaced(block, **airflow),
            parameters={name: self._parameter(name, value) for name, value in spec.parameters.items()},
            steps=tuple(self._step(step) for step in spec.steps),
            step_options=options,
        )

    def _check_names(self) -> None:
        """Note a change that changes nothing, which is a slip of the pen."""
        spec, changes = self.spec, self.changes
        used = {
            "parameters": (changes.parameters, set(spec.parameters), "input"),
            "compute": (changes.compute, {step.compute for step in spec.steps if step.compute}, "compute target"),
            "datastore": (changes.datastore, _datastores(spec), "datastore"),
            "pool": (changes.pool, _pools(spec), "pool"),
        }
        for key, (wanted, there, noun) in used.items():
            for name in wanted.keys() - {_EVERY} - there:
                hint = did_you_mean(name, there) or f" It uses: {listed(there)}."
                text = f"the pipeline '{spec.name}' uses no {noun} '{name}'.{hint}"
                self.faults.add(changes.place / key / name, "MLP157", text, of_key=True)

    def _schedule(self, block: AirflowBlock) -> Schedule | None:
        wanted, place = self.changes.schedule, self.changes.place / "schedule"
        if wanted is None:
            return self._move_schedule(block.schedule)
        trigger = read_trigger(wanted, place, Faults()) if wanted is not False else None
        if trigger is None:
            return None
        for name, parameter in self.spec.parameters.items():
            if parameter.is_required and name not in self.changes.parameters:
                text = f"'{name}' of the pipeline '{self.spec.name}' needs a default when nobody starts its runs."
                self.faults.add(place, "MLP144", text, of_key=True)
        return build_schedule(trigger, block.start_date, place, self.faults)

    def _parameter(self, name: str, parameter: Parameter) -> Parameter:
        if name not in self.changes.parameters:
            return parameter
        try:
            default = parameter.normalise(self.changes.parameters[name])
        except ParameterError as error:
            text = f"of the pipeline '{self.spec.name}' {error}"
            self.faults.add(self.changes.place / "parameters" / name, "MLP130", text)
            return parameter
        return replaced(parameter, default=default)

    def _step(self, step: Step) -> Step:
        moved = {port: self._move(data) for port, data in step.inputs.items()}
        outputs = {port: self._move(data) for port, data in step.outputs.items()}
        compute = _replaced(self.changes.compute, step.compute)
        return replaced(step, compute=compute, inputs=moved, outputs=outputs)

    def _move(self, value: Any) -> Any:
        """Return data at the datastore that replaces its own; everything else as it is."""
        if not isinstance(value, InputData | OutputData) or not value.path:
            return value
        return replaced(value, path=self._moved(value.path))

    def _move_schedule(self, schedule: Schedule | None) -> Schedule | None:
        if schedule is None or schedule.data is None:
            return schedule
        return replaced(schedule, data=self._moved(schedule.data))

    def _moved(self, path: str) -> str:
        match = _DATASTORE.match(path)
        new = self.changes.datastore.get(match["name"]) if match else None
        return path if match is None or new is None else f"azureml://datastores/{new}/{path[match.end() :]}"

    def _options(self, options: StepOptions) -> StepOptions:
        if options.pool is None:
            return options
        return replaced(options, pool=_replaced(self.changes.pool, options.pool))


def _replaced(names: Mapping[str, str], old: str | None) -> str | None:
    return names.get(old or "", names.get(_EVERY, old or "")) or None


def _datastores(spec: PipelineSpec) -> set[str]:
    places = [value for step in spec.steps for value in (*step.inputs.values(), *step.outputs.values())]
    paths = [value.path for value in places if isinstance(value, InputData | OutputData)]
    watched = spec.airflow.schedule.data if spec.airflow.schedule else None
    found = (_DATASTORE.match(path) for path in (*paths, watched) if path)
    return {match["name"] for match in found if match}


def _pools(spec: PipelineSpec) -> set[str]:
    return {pool for pool in (spec.airflow.pool, *(item.pool for item in spec.step_options.values())) if pool}
