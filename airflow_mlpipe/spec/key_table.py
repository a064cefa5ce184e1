"""Every key of Azure ML that a file may hold, and what becomes of it: honoured, named in a warning, or refused.

The table is made from the raw models, which are what reads the files; ``docs/yaml-keys.md`` and the conformance tests
are made from the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from airflow_mlpipe.spec import control_documents, documents, job_documents, later_documents, nested_documents
from airflow_mlpipe.spec.documents import Raw

Treatment = Literal["honoured", "warned", "refused"]

READ: dict[str, type[Raw]] = {
    "pipeline": job_documents.PipelineDocument,
    "settings": documents.Settings,
    "input": documents.InputKeys,
    "output": documents.OutputKeys,
    "command job": job_documents.CommandJob,
    "parallel job": job_documents.ParallelJob,
    "task of a parallel job": job_documents.ParallelTaskKeys,
    "retry_settings": documents.RetrySettings,
    "data_transfer job": job_documents.DataTransferJob,
    "pipeline job": nested_documents.PipelineJob,
    "if_else job": control_documents.IfElse,
    "do_while job": control_documents.DoWhile,
    "limits of a do_while job": control_documents.LoopLimits,
    "parallel_for job": control_documents.ParallelFor,
    "command component": job_documents.CommandComponent,
    "parallel component": job_documents.ParallelComponent,
    "pipeline component": nested_documents.PipelineComponent,
    "environment": documents.EnvironmentKeys,
    "resources": documents.Resources,
    "distribution": documents.DistributionKeys,
    "limits of a command job": documents.Limits,
}
"""What is read: its name in the table, and its model."""

LATER: dict[str, type[Raw]] = {
    "sweep job": later_documents.SweepJob,
    "sampling_algorithm": later_documents.Sampling,
    "objective": later_documents.Objective,
    "early_termination": later_documents.Termination,
    "limits of a sweep job": later_documents.SweepLimits,
    "automl job": later_documents.AutoMLJob,
    "limits of an automl job": later_documents.AutoMLLimits,
    "spark job": later_documents.SparkJob,
    "entry of a spark job": later_documents.SparkEntry,
    "import job": later_documents.ImportJob,
}
"""What is checked key by key and written into the DAG, and cannot be run yet, which a warning says."""

_OURS = frozenset({"airflow"})


@dataclass(frozen=True)
class KeyRow:
    """One key at one place.

    :param where: what holds it.
    :param note: what it means, or why it is not used.
    """

    where: str
    key: str
    treatment: Treatment
    note: str


def key_rows() -> Iterator[KeyRow]:
    """Yield every key of Azure ML, in the order of the models; our own ``airflow`` blocks are left out."""
    for where, model in READ.items():
        yield from _rows(where, model, "")
    for where, model in LATER.items():
        yield from _rows(where, model, "Checked and written into the DAG; the job cannot be run yet. ")


def _rows(where: str, model: type[Raw], before: str) -> Iterator[KeyRow]:
    for name, info in model.model_fields.items():
        key = info.alias or name
        if key in _OURS:
            continue
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        note = str(extra.get("refused") or extra.get("ignored") or info.description or "")
        treatment: Treatment = "refused" if "refused" in extra else "honoured"
        if "ignored" in extra or (before and treatment == "honoured"):
            treatment = "warned"
        yield KeyRow(where, key, treatment, before + note)


def as_markdown() -> str:
    """Return ``docs/yaml-keys.md``."""
    lines = [_HEAD]
    where = ""
    for row in key_rows():
        if row.where != where:
            where = row.where
            lines.append(f"\n## {where}\n\n| key | what becomes of it | |\n|---|---|---|\n")
        note = row.note.replace("|", "\\|")
        lines.append(f"| `{row.key}` | {row.treatment} | {note} |\n")
    return "".join(lines)


_HEAD = """\
# Every key of Azure ML, and what becomes of it

*honoured*: it has its meaning here. *warned*: it is read, changes no result, and a warning names it.
*refused*: an error, because the result would differ without it, or nothing here does it yet.

A key that is not here is an error with a "did you mean". Nothing is dropped in silence: a test loads files that use
every key and compares what happens with this table. It is made from the code by
`python -m airflow_mlpipe.spec.key_table`. Our own `airflow:` blocks are in [yaml.md](yaml.md).
"""


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
