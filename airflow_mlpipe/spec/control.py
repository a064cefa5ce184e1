"""Azure ML's control flow as it is written: which jobs are in which branch, which one is repeated, and with what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_mlpipe.spec.control_documents import CONTROL, ControlKeys, DoWhile, IfElse, ParallelFor
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.structure import describe, known, validate

_JOB = re.compile(r"\$\{\{\s*parent\s*\.\s*jobs\s*\.\s*([A-Za-z_][A-Za-z0-9_.\-]*)\s*\}\}")
_ITEM = re.compile(r"[A-Za-z0-9_\-]+")

Given = dict[str, tuple[object, Place]]
"""Inputs that a round of a loop is given, and where that is written."""


@dataclass(frozen=True)
class Control:
    """A job that decides about other jobs.

    :param body: the job that is repeated, of a loop.
    :param when_true: jobs that are left out unless the condition is true.
    :param when_false: jobs that are left out unless it is false.
    :param rounds: name of each round to the inputs that it is given; a ``do_while`` takes them from the round before.
    """

    keys: ControlKeys
    body: str = ""
    when_true: tuple[str, ...] = ()
    when_false: tuple[str, ...] = ()
    rounds: Mapping[str, Given] | None = None

    @property
    def claims(self) -> tuple[str, ...]:
        """The jobs that it decides about."""
        return (self.body, *self.when_true, *self.when_false) if self.body else (*self.when_true, *self.when_false)


def is_control(data: object) -> bool:
    """Return whether a job is one of Azure ML's control-flow jobs."""
    return isinstance(data, dict) and isinstance(data.get("type"), str) and data["type"] in CONTROL


class ControlReader:
    """Reads the control flow of one pipeline.

    :param jobs: all its jobs as they are written.
    :param place: of the mapping of jobs.
    """

    def __init__(self, jobs: Mapping[str, Any], place: Place, faults: Faults) -> None:
        self._jobs = jobs
        self._place = place
        self._faults = faults

    def read(self) -> dict[str, Control]:
        """Return each control-flow job that could be read; a job is decided about by one of them at most."""
        controls: dict[str, Control] = {}
        owners: dict[str, str] = {}
        for name, data in self._jobs.items():
            control = self._one(name, data) if is_control(data) else None
            if control is None:
                continue
            for job in control.claims:
                first = owners.setdefault(job, name)
                if first != name or control.claims.count(job) > 1:
                    text = f"'{job}' is a block or body of '{first}' already; a job has one place."
                    self._faults.add(self._place / name, "MLP161", text, of_key=True)
            controls[name] = control
        return controls

    def _one(self, name: str, data: dict[str, Any]) -> Control | None:
        place = self._place / name
        keys = validate(CONTROL[data["type"]], data, place, self._faults)
        if isinstance(keys, IfElse):
            return self._if_else(keys, name, place)
        if isinstance(keys, DoWhile):
            body = self._body(keys.body, name, place / "body")
            return Control(keys, body, rounds=self._repeated(keys, body, place / "mapping")) if body else None
        if isinstance(keys, ParallelFor):
            body = self._body(keys.body, name, place / "body")
            return Control(keys, body, rounds=self._items(keys.items, body, place / "items")) if body else None
        return None

    def _if_else(self, keys: IfElse, name: str, place: Place) -> Control:
        if keys.condition is None:
            text = "the key 'condition' is missing: true, false, or a boolean output or input."
            self._faults.add(place, "MLP022", text, of_key=True)
        blocks = [self._block(getattr(keys, key), name, place / key) for key in ("true_block", "false_block")]
        if keys.true_block is None and keys.false_block is None:
            self._faults.add(place, "MLP022", "one of 'true_block', 'false_block' is missing.", of_key=True)
        return Control(keys, when_true=blocks[0], when_false=blocks[1])

    def _block(self, value: Any, name: str, place: Place) -> tuple[str, ...]:
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        places = [place / number for number in range(len(listed))] if isinstance(value, list) else [place]
        found = [self._job(text, name, where) for text, where in zip(listed, places, strict=True)]
        return tuple(job for job in found if job)

    def _body(self, text: str, name: str, place: Place) -> str:
        job = self._job(text, name, place)
        if job and is_control(self._jobs[job]):
            advice = "put it into a pipeline component and repeat that."
            self._faults.add(place, "MLP025", f"'{job}' is control flow itself; {advice}")
            return ""
        return job

    def _job(self, text: object, name: str, place: Place) -> str:
        """Return the job that a text names, empty after noting that it names none."""
        match = _JOB.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            self._faults.add(place, "MLP041", f"must be '${{{{parent.jobs.<job>}}}}', got {describe(text)}.")
            return ""
        if match[1] == name:
            self._faults.add(place, "MLP118", f"'{name}' names itself.")
            return ""
        if match[1] not in self._jobs:
            hint = known(match[1], list(self._jobs))
            self._faults.add(place, "MLP103", f"'${{{{parent.jobs.{match[1]}}}}}' names no job.{hint}")
            return ""
        return match[1]

    def _repeated(self, keys: DoWhile, body: str, place: Place) -> dict[str, Given]:
        given: Given = {}
        for output, wanted in keys.mapping.items():
            for number, port in enumerate(wanted if isinstance(wanted, list) else [wanted]):
                where = place / output / number if isinstance(wanted, list) else place / output
                if not isinstance(port, str):
                    self._faults.add(where, "MLP023", f"must be the name of an input, got {describe(port)}.")
                    continue
                given[port] = f"${{{{parent.jobs.{body}.outputs.{output}}}}}", where
        rounds = range(1, keys.limits.max_iteration_count + 1)
        return {f"{body}_{number}": given if number > 1 else {} for number in rounds}

    def _items(self, value: Any, body: str, place: Place) -> dict[str, Given]:
        items, inside = self._unpacked(value, place)
        if isinstance(items, list):
            named = {f"{number}": item for number, item in enumerate(items, start=1)}
            places = [place / number if inside else place for number in range(len(items))]
        elif isinstance(items, dict):
            named = items
            places = [place / key if inside else place for key in items]
        else:
            return {}
        if not named:
            self._faults.add(place, "MLP024", "must not be empty.")
        rounds: dict[str, Given] = {}
        for (key, item), where in zip(named.items(), places, strict=True):
            if not _ITEM.fullmatch(key):
                self._faults.add(where, "MLP030", f"'{key}' cannot be part of a name: letters, digits, '_', '-'.", True)
                continue
            if not isinstance(item, dict):
                self._faults.add(where, "MLP023", f"must be a mapping of inputs to values, got {describe(item)}.")
                continue
            rounds[f"{body}_{key}"] = {port: (given, where / port if inside else where) for port, given in item.items()}
        return rounds

    def _unpacked(self, value: Any, place: Place) -> tuple[Any, bool]:
        """Return the items, and whether they are written as YAML."""
        if isinstance(value, list | dict):
            return value, True
        if isinstance(value, str) and "${{" in value:
            why = "is known only when the run is there, and a step needs a name before: each has one record in a run"
            advice = "Write the items out, or let a parallel job work through the files"
            self._faults.add(place, "MLP027", f"{value!r} {why}. {advice}.")
            return None, False
        try:
            items = json.loads(value) if isinstance(value, str) else None
        except ValueError as error:
            self._faults.add(place, "MLP023", f"is no JSON: {error}.")
            return None, False
        if not isinstance(items, list | dict):
            self._faults.add(place, "MLP023", f"must be a list or a mapping of items, got {describe(value)}.")
            return None, False
        return items, False
