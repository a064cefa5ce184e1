"""The keys of a parallel job, from the job and from its component: the job wins."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from airflow_mlpipe.spec.checks import PortTexts
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import RetrySettings
from airflow_mlpipe.spec.expressions import InputRef, OutputPortRef
from airflow_mlpipe.spec.job_documents import ParallelSettings, ParallelTaskKeys
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.paths import Source
from airflow_mlpipe.spec.software import code_folder, environment
from airflow_mlpipe.spec.step import InputValue, ParallelTask, is_data
from airflow_mlpipe.spec.structure import describe

_BYTES = re.compile(r"[0-9]+\s*[kKmMgG][bB]")


def _mini_batch_size(value: Any, place: Place, faults: Faults) -> int:
    if isinstance(value, str) and _BYTES.fullmatch(value.strip()):
        text = f"mini-batches are cut by number of files, not by size; write a whole number, got {value!r}."
        faults.add(place, "MLP027", text)
        return 10
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        faults.add(place, "MLP024", f"must be a whole number of files of at least 1, got {describe(value)}.")
        return 10
    return value


class _Merged:
    """The settings of job and component in one: the first that says a key wins."""

    def __init__(self, sources: list[tuple[ParallelSettings, Place]]) -> None:
        self._sources = sources

    def is_written(self, key: str) -> bool:
        """Whether one of them says the key, right or wrong."""
        return any((place / key).is_written for _, place in self._sources)

    def get(self, key: str, default: Any = None) -> tuple[Any, Place]:
        """Return the value and where it was written."""
        for keys, place in self._sources:
            if getattr(keys, key) is not None:
                return getattr(keys, key), place / key
        return default, self._sources[0][1] / key


def _input_port(merged: _Merged, ports: PortTexts, inputs: dict[str, InputValue], faults: Faults) -> str | None:
    text, place = merged.get("input_data")
    if text is None:
        if not merged.is_written("input_data"):
            words = "the key 'input_data' is missing: '${{inputs.<port>}}', the files to work on."
            faults.add(place, "MLP022", words, of_key=True)
        return None
    port = ports.port(text, place, InputRef)
    if port is not None and port in inputs and not is_data(inputs[port]):
        faults.add(place, "MLP106", f"the input '{port}' is not data.")
    return port


def _check_script(task: ParallelTaskKeys, code: str | None, place: Place, source: Source, faults: Faults) -> None:
    script = task.entry_script
    if script.startswith("/") or ".." in script.split("/"):
        faults.add(place / "entry_script", "MLP124", f"'{script}' must be a path within the code folder.")
    elif code is not None and not faults.looks.is_file(source.folder / code / script):
        shown = posixpath.join(task.code or "", script)
        faults.add(place / "entry_script", "MLP121", f"there is no file '{shown}'.")


def parallel_task(
    job: Draft, source: Source, ports: PortTexts, inputs: dict[str, InputValue], faults: Faults
) -> dict[str, Any]:
    """Return the fields ``parallel``, ``code`` and ``environment`` of a parallel step.

    :param source: where the task is written: the job itself or its component.
    """
    layers = [(keys, place) for keys, place in _layers(job) if isinstance(keys, ParallelSettings)]
    task: ParallelTaskKeys | None = getattr(layers[-1][0], "task", None)
    place = source.place / "task"
    if task is None:
        if not place.is_written:
            faults.add(source.place, "MLP022", "the key 'task' is missing.", of_key=True)
        return {}
    if task.type != "run_function":
        faults.add(place / "type", "MLP026", f"only 'run_function' is supported, got {task.type!r}.")
    code = code_folder(task.code, place / "code", source, faults)
    if task.code is None or code is not None:
        _check_script(task, code, place, source, faults)
    return {
        "code": code,
        "environment": environment(task.environment, place / "environment", source, faults),
        "parallel": _task(task, _Merged(layers), place, ports, inputs, faults),
    }


def _layers(job: Draft) -> list[tuple[object, Place]]:
    layers: list[tuple[object, Place]] = [(job.keys, job.place)]
    if job.component is not None:
        layers.append((job.component.keys, job.component.source.place))
    return layers


def _task(
    task: ParallelTaskKeys,
    merged: _Merged,
    place: Place,
    ports: PortTexts,
    inputs: dict[str, InputValue],
    faults: Faults,
) -> ParallelTask | None:
    port = _input_port(merged, ports, inputs, faults)
    size, size_place = merged.get("mini_batch_size", 10)
    mini_batch_size = _mini_batch_size(size, size_place, faults)
    arguments = ports.command(task.program_arguments, place / "program_arguments")
    rows = None
    if task.append_row_to is not None:
        rows = ports.port(task.append_row_to, place / "append_row_to", OutputPortRef)
    retry = merged.get("retry_settings")[0] or RetrySettings()
    if port is None:
        return None
    return ParallelTask(
        entry_script=task.entry_script,
        input=port,
        mini_batch_size=mini_batch_size,
        program_arguments=arguments,
        append_row_to=rows,
        max_concurrency=merged.get("max_concurrency_per_instance")[0],
        max_retries=retry.max_retries,
        timeout=retry.timeout,
        error_threshold=merged.get("error_threshold", -1)[0],
        mini_batch_error_threshold=merged.get("mini_batch_error_threshold", -1)[0],
    )
