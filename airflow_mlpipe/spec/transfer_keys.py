"""What is said of ``data_transfer`` jobs alone: mode, ports, exports, and what other jobs may not have."""

from __future__ import annotations

from typing import Any

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import JobAirflowKeys
from airflow_mlpipe.spec.job_documents import DataTransferJob
from airflow_mlpipe.spec.jobs import Draft
from airflow_mlpipe.spec.paths import is_remote
from airflow_mlpipe.spec.step import InputData, InputValue, is_data


def transfer_fields(draft: Draft, inputs: dict[str, InputValue], faults: Faults) -> dict[str, Any]:
    """Check a data transfer and return the fields of its step."""
    keys, place = draft.keys, draft.place
    if not isinstance(keys, DataTransferJob):
        return {}
    _copied(draft, inputs, faults)
    if keys.task is None and not (place / "task").is_written:
        faults.add(place, "MLP022", "the key 'task' is missing: copy_data.", of_key=True)
    elif keys.task not in (None, "copy_data"):
        faults.add(place / "task", "MLP026", f"only 'copy_data' is supported, got {keys.task!r}.")
    exported = any(output.data.path is not None for output in (draft.outputs or {}).values())
    if keys.data_copy_mode is None and (len(inputs) > 1 or exported):
        why = "an export" if exported else "several inputs"
        text = (
            f"the key 'data_copy_mode' is missing: with {why} say merge_with_overwrite or fail_if_conflict, "
            "or skip_existing."
        )
        faults.add(place, "MLP022", text, of_key=True)
    return {"copy_mode": keys.data_copy_mode or "merge_with_overwrite"}


def _copied(draft: Draft, inputs: dict[str, InputValue], faults: Faults) -> None:
    place = draft.place
    for port, value in inputs.items():
        if value is not None and not is_data(value):
            faults.add(place / "inputs" / port, "MLP106", "a data transfer takes data only.")
    if not inputs:
        faults.add(place, "MLP022", "a data transfer needs at least one input.", of_key=True)
    if len(draft.outputs or {}) != 1:
        faults.add(
            place / "outputs", "MLP024", f"a data transfer has one output, got {len(draft.outputs or {})}.", True
        )


def refuse_transfer_keys(inputs: dict[str, InputValue], airflow: JobAirflowKeys, place: Place, faults: Faults) -> None:
    """Note a fault for what only a data transfer can do: read a URL, choose files by patterns."""
    for block in ("include", "exclude"):
        for port in getattr(airflow, block):
            text = "belongs to data_transfer jobs; copy the files first, then give this job the copy."
            faults.add(place / "airflow" / block / port, "MLP025", text, of_key=True)
    for port, value in inputs.items():
        if isinstance(value, InputData) and is_remote(value.path):
            text = "only a data_transfer job reads a URL; copy the file first, then give this job the copy."
            faults.add(place / "inputs" / port, "MLP124", text)
