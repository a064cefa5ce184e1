"""The step: one job of a pipeline with nothing left to look up but what the run itself brings.

A pipeline file is lowered to steps: components are inlined, defaults filled in, data inputs of the pipeline put in
their place. The same plain values are the keyword arguments of our operators, so a step has one shape in YAML, in a
generated DAG, in a hand-written DAG and in ``mlpipe run``.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from airflow_mlpipe.frozen import Strict
from airflow_mlpipe.spec.machines import Machines, ProcessGroup

CopyMode = Literal["merge_with_overwrite", "fail_if_conflict", "skip_existing"]
Scalar = bool | int | float | str | None
PortName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
DataType = Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"]
MODEL_TYPES = frozenset({"mlflow_model", "custom_model", "triton_model"})
DATA_KEY = "mlpipe_data"
"""Key in the JSON schema of a run's parameter that says that it is the address of a data input."""


ScalarType = Literal["string", "integer", "number", "boolean"]
Identity = Literal["content", "etag", "version", "stat", "ignore"]
MARKED = frozenset({"etag", "version", "stat"})
"""Identities that take the cheapest marker that the place of the data has."""


class Partitions(Strict, frozen=True, kw_only=True):
    """Which files of a folder belong to a run: one file per period of time.

    The last period is the one of ``anchor``; ``count`` periods end with it and ``ahead`` more follow. Only these files
    are the input, so a new file for another period changes nothing.

    :param files: relative path with ``strftime`` fields, ``flights-%Y-%m.csv``.
    :param every: length of a period.
    :param anchor: a date or a binding that gives one (``${{parent.inputs.month}}``).
    :param count: number of periods, or a binding.
    :param ahead: further periods after the anchor's, or a binding.
    """

    files: str
    every: Literal["hour", "day", "week", "month", "year"] = "month"
    anchor: str = "${{airflow.data_interval_start}}"
    count: int | str = 1
    ahead: int | str = 0


class InputData(Strict, frozen=True, kw_only=True):
    """A data input of a step.

    :param path: a local path relative to the pipeline's folder, ``azureml://datastores/<name>/paths/<path>``,
        ``azureml:<name>:<version>`` or ``azureml:<name>@latest`` (a registered dataset or model),
        or ``${{parent.jobs.<job>.outputs.<port>}}``.
    :param mode: Azure ML's access mode; the local target reads in place whatever is asked.
    :param optional: nothing there is not an error; the input is then absent (``$[[...]]`` in the command drops out).
    :param identity: ``content``: a step with other bytes here is another step. ``stat``, ``etag``, ``version``: one
        with other markers is, names, sizes and times or the store's own version marks, and no bytes are read; outputs
        of other steps and registered assets have a recorded content, which costs nothing either. ``ignore``: this
        input does not count for reuse.
    :param include: patterns as in ``.gitignore``; only files that one of them names belong to the input. Empty: all.
    :param exclude: patterns of files that do not.
    :param value: the data is a file with one value of this type, and the value is the input: the output of a step that
        wrote a number, a text or true or false.
    :param parameter: parameter of the run that may give another address; without a value, ``path`` counts.
    """

    type: DataType = "uri_folder"
    path: str
    mode: Literal["ro_mount", "rw_mount", "download", "direct", "eval_mount", "eval_download"] | None = None
    optional: bool = False
    identity: Identity = "content"
    partitions: Partitions | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    value: ScalarType | None = None
    parameter: str = ""


class OutputData(Strict, frozen=True, kw_only=True):
    """A data output of a step.

    :param name: registers the output under this name when the step has ended well: models in the model registry, all
        other types in the dataset registry. Each registration makes a new version unless the content is the latest
        already.
    :param optional: the step may leave it empty; then nothing is published or registered for it.
    :param path: of a ``data_transfer`` step: the folder ``azureml://datastores/<name>/paths/<folder>`` to export to,
        beside what is there already. Without it the output lies in the store of the workspace, under a fresh path.
    :param value: the output is a file that holds one value of this type as text, for conditions and for inputs of
        other steps.
    """

    type: DataType = "uri_folder"
    mode: Literal["rw_mount", "upload", "direct"] | None = None
    name: str | None = None
    optional: bool = False
    path: str | None = None
    value: ScalarType | None = None


class ParallelTask(Strict, frozen=True, kw_only=True):
    """How a parallel step cuts and runs its input: Azure ML's ``parallel`` job, ``task: {type: run_function}``.

    :param entry_script: file in ``code`` with ``init()`` (optional), ``run(mini_batch)`` and ``shutdown()`` (optional).
    :param input: port whose files are cut into mini-batches (``input_data: ${{inputs.<port>}}``).
    :param mini_batch_size: files per mini-batch.
    :param program_arguments: shell text with placeholders, split into words for the script's ``sys.argv``.
    :param append_row_to: output port that gets one file with every returned row, in the order of the mini-batches.
    :param max_concurrency: processes on a machine; ``None`` for the number of cores.
    :param max_retries: further tries of a mini-batch that failed or took too long.
    :param timeout: seconds for one call of ``run``.
    :param error_threshold: items (files) that may fail over the whole input; -1 ignores all failures.
    :param mini_batch_error_threshold: mini-batches that may fail; -1 ignores all failures.
    """

    entry_script: str
    input: PortName
    mini_batch_size: Annotated[int, Meta(ge=1)] = 10
    program_arguments: str = ""
    append_row_to: PortName | None = None
    max_concurrency: Annotated[int, Meta(ge=1)] | None = None
    max_retries: Annotated[int, Meta(ge=0)] = 2
    timeout: Annotated[float, Meta(gt=0)] = 60.0
    error_threshold: Annotated[int, Meta(ge=-1)] = -1
    mini_batch_error_threshold: Annotated[int, Meta(ge=-1)] = -1


class Branch(Strict, frozen=True, kw_only=True):
    """What a step decides that only looks at its input ``condition``.

    :param when_true: steps that are left out of the run unless the condition is true.
    :param when_false: steps that are left out unless it is false.
    :param stand_ins: of a step that is left out: the step whose outputs stand for its own. The rounds of a loop that do
        not take place pass on what the last round has made.
    """

    when_true: tuple[str, ...] = ()
    when_false: tuple[str, ...] = ()
    stand_ins: dict[str, str] = field(default_factory=dict)


InputValue = InputData | Scalar
"""Data, or a literal, or a string with ``${{parent.inputs.x}}`` / ``${{airflow.x}}`` in it."""


def is_data(value: InputValue) -> bool:
    """Return whether an input is data rather than a value, be it a literal or one that a step writes."""
    return isinstance(value, InputData) and value.value is None


class Step(Strict, frozen=True, kw_only=True):
    """One step. The fields in :data:`NOT_IN_IDENTITY` do not count for its identity.

    :param name: task id, unique in the pipeline.
    :param type: what kind of work; decides which of ``command``, ``parallel``, ``copy_mode`` is used.
    :param command: shell text with ``${{inputs.x}}``, ``${{outputs.x}}`` and optional ``$[[...]]`` parts.
    :param code: source folder, relative to the pipeline's folder.
    :param additional_includes: files and folders beside ``code`` that belong to the source (Azure ML's shared paths),
        relative to the pipeline's folder; each is laid at the top of the source folder under its own name.
    :param environment: name of a workspace environment, or a definition: ``{"conda_file": path or mapping}``,
        ``{"pip_requirements": path or list}``, ``{"image": ...}``.
    :param compute: name of the compute target, ``None`` for the workspace's default.
    :param copy_mode: of a ``data_transfer`` step: what happens to a file that is there already.
    :param definition: of a job that nothing here can run yet (``sweep``, ``automl``, ``spark``, ``import``): what it
        says, as it is written.
    :param branch: of a ``branch`` step: what depends on its input ``condition``.
    :param is_deterministic: False: never reused.
    :param reuse_version: any text; changing it disowns earlier results.
    :param ttl: seconds after which an earlier result is too old to be reused.
    :param timeout: seconds for the job on its target.
    :param resources: the hardware it asks for; a target that cannot give it refuses.
    :param distribution: the processes that its command is started as; counts for its identity once it is set.
    """

    name: str
    type: Literal["command", "parallel", "data_transfer", "branch", "sweep", "automl", "spark", "import"] = "command"
    command: str | None = None
    code: str | None = None
    additional_includes: tuple[str, ...] = ()
    inputs: dict[PortName, InputValue] = field(default_factory=dict)
    outputs: dict[PortName, OutputData] = field(default_factory=dict)
    environment: str | dict[str, Any] | None = None
    environment_variables: dict[str, str] = field(default_factory=dict)
    compute: str | None = None
    parallel: ParallelTask | None = None
    copy_mode: CopyMode | None = None
    definition: dict[str, Any] | None = None
    branch: Branch | None = None
    is_deterministic: bool = True
    reuse_version: str = ""
    ttl: Annotated[float, Meta(gt=0)] | None = None
    timeout: Annotated[float, Meta(gt=0)] | None = None
    resources: Machines | None = None
    distribution: ProcessGroup | None = None
    upstream: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for port, output in self.outputs.items():
            if output.path is not None and self.type != "data_transfer":
                raise ValueError(f"output {port}: only a data_transfer step writes to a path of its own")
            if output.path is not None and (output.name is not None or output.type == "uri_file"):
                raise ValueError(f"output {port}: an export writes a folder and registers nothing")


NOT_IN_IDENTITY = frozenset({"name", "compute", "definition", "branch", "ttl", "timeout", "resources", "upstream"})
"""Fields of a step that say where, when and with what patience it runs, not what it computes."""
