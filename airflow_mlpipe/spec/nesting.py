"""Pipelines inside a pipeline, and the rounds of loops: read to the bottom, and what leaves them found at its step.

A component may be used any number of times; each use has steps of its own. What a few files can unfold to is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_mlpipe.spec.asset_names import with_names
from airflow_mlpipe.spec.components import Component, ComponentReader
from airflow_mlpipe.spec.control import Control, ControlReader, is_control
from airflow_mlpipe.spec.control_documents import decision_name
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import OutputKeys
from airflow_mlpipe.spec.jobs import Draft, DraftReader, Frame
from airflow_mlpipe.spec.nested_documents import PipelineComponent
from airflow_mlpipe.spec.outputs import OutputBinder
from airflow_mlpipe.spec.scope import Outputs, Produced, qualified

MAX_STEPS = 2000
"""Steps of a pipeline once everything is unfolded; an Airflow scheduler is slow with more."""
MAX_DEPTH = 20
"""Pipelines inside each other."""

_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")


class JobsReader:
    """Reads the jobs of a pipeline and of all pipelines inside it."""

    def __init__(self, components: ComponentReader, faults: Faults) -> None:
        self._components = components
        self._faults = faults
        self._steps: dict[str, Place] = {}

    def read(self, jobs: Mapping[str, Any], place: Place, outputs: OutputBinder, frame: Frame) -> dict[str, Draft]:
        """Return the jobs by name, in the order of the file.

        :param place: of the mapping of jobs.
        :param outputs: the outputs of this pipeline.
        """
        reader = DraftReader(self._components, outputs, frame, self._faults)
        controls = ControlReader(jobs, place, self._faults).read()
        bodies = {control.body for control in controls.values() if control.body}
        drafts: dict[str, Draft] = {}
        for name, data in jobs.items():
            if len(self._steps) > MAX_STEPS:
                break
            if name in controls:
                drafts[name] = self._control(name, controls[name], jobs, place, (outputs, frame))
            elif name not in bodies and not is_control(data):
                drafts[name] = self._unfolded(reader.read(name, data, place / name), frame)
        return drafts

    def _control(
        self, name: str, control: Control, jobs: Mapping[str, Any], place: Place, around: tuple[OutputBinder, Frame]
    ) -> Draft:
        """Read a decision, or a loop with its body once for each round."""
        outputs, frame = around
        kind, here, body = control.keys.kind, place / name, control.body
        if control.rounds is None:
            self._count(qualified(frame.group, name), here)
            return Draft(name, kind, here, outputs={}, control=control)
        self._check_group(name, here)
        inner = Frame(frame.source, qualified(frame.group, name), frame.trail)
        reader = DraftReader(self._components, outputs, inner, self._faults)
        rounds: dict[str, Draft] = {}
        for number, (each, given) in enumerate(control.rounds.items(), start=1):
            if len(self._steps) > MAX_STEPS:
                break
            draft = replace(reader.read(each, jobs[body], place / body, body), overrides=given)
            rounds[each] = self._unfolded(draft, inner)
            if control.keys.has_decisions and number < len(control.rounds):
                self._count(qualified(inner.group, decision_name(number)), here)
        last = list(rounds.values())[-1].outputs if rounds else None
        return Draft(name, kind, here, outputs=last, inner=rounds, control=control)

    def _unfolded(self, draft: Draft, frame: Frame) -> Draft:
        draft = with_names(draft, self._faults)
        step = qualified(frame.group, draft.name)
        if draft.kind != "pipeline":
            self._count(step, draft.place)
            return draft
        component = draft.component
        if component is None or draft.outputs is None or not self._may_unfold(draft, component, frame):
            return replace(draft, outputs=None)
        inner = Frame(component.source, step, (*frame.trail, component.path or ""))
        binder = OutputBinder(_declared(draft.outputs, component), self._faults)
        jobs = component.keys.jobs if isinstance(component.keys, PipelineComponent) else {}
        drafts = self.read(jobs, component.source.place / "jobs", binder, inner)
        return replace(draft, inner=drafts, outputs=self._written(draft.outputs, binder, drafts, component))

    def _count(self, step: str, place: Place) -> None:
        if step in self._steps:
            text = f"another job becomes the step '{step}' too; rename one of them."
            self._faults.add(place, "MLP032", text, of_key=True)
        self._steps[step] = place
        if len(self._steps) > MAX_STEPS:
            text = f"the pipeline has more than {MAX_STEPS} steps once all pipelines inside it are unfolded. Split it."
            self._faults.add(place, "MLP033", text, of_key=True)

    def _may_unfold(self, draft: Draft, component: Component, frame: Frame) -> bool:
        self._check_group(draft.name, draft.place)
        if component.path is not None and component.path in frame.trail:
            text = f"the pipeline of '{component.path}' holds itself."
            self._faults.add(draft.place / "component", "MLP119", text)
            return False
        if len(frame.trail) >= MAX_DEPTH:
            text = f"more than {MAX_DEPTH} pipelines lie inside each other here."
            self._faults.add(draft.place, "MLP033", text, of_key=True)
            return False
        return True

    def _check_group(self, name: str, place: Place) -> None:
        if not _GROUP.fullmatch(name):
            rule = "it becomes a task group: letters, digits, '_' and '-', first a letter or '_'"
            self._faults.add(place, "MLP030", f"'{name}' cannot be the name; {rule}.", of_key=True)

    def _written(
        self, wanted: Outputs, binder: OutputBinder, drafts: Mapping[str, Draft], component: Component
    ) -> Outputs:
        """Return the outputs of a pipeline as those of the steps inside it that write them."""
        found: Outputs = {}
        written_by = job_outputs(drafts)
        for port in wanted:
            job, _, inner_port = binder.writers.get(port, "").rpartition(".")
            outputs = written_by.get(job)
            if outputs is not None and inner_port in outputs:
                found[port] = outputs[inner_port]
            elif not job and port in component.outputs:
                text = f"no job of this pipeline writes its output '{port}'."
                self._faults.add(component.source.place / "outputs" / port, "MLP123", text, of_key=True)
        return found


def job_outputs(drafts: Mapping[str, Draft]) -> dict[str, Outputs | None]:
    """Return the outputs of every job; those of a loop under its own name and under that of its body."""
    found = {name: draft.outputs for name, draft in drafts.items()}
    return found | {draft.control.body: draft.outputs for draft in drafts.values() if draft.control is not None}


def many(drafts: Mapping[str, Draft]) -> dict[str, str]:
    """Return the jobs that run once for each item, and the loop that they belong to."""
    loops = {name: draft.control for name, draft in drafts.items() if draft.kind == "parallel_for"}
    return {job: name for name, control in loops.items() if control is not None for job in (name, control.body)}


def _declared(outputs: Outputs, component: Component) -> dict[str, OutputKeys]:
    """Return what the pipeline's own outputs say once the outer pipeline has had its word."""
    return {port: _keys(produced, component.outputs.get(port, OutputKeys())) for port, produced in outputs.items()}


def _keys(produced: Produced, declared: OutputKeys) -> OutputKeys:
    data = produced.data
    said = declared.type is not None or data.type != "uri_folder"
    return OutputKeys(type=data.value or (data.type if said else None), mode=data.mode, name=data.name)
