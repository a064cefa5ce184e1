"""What a pipeline is for, in words: what a template tells the reader of a DAG, and by what it knows that it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import MODEL_TYPES, InputData, OutputData, Step


@dataclass(frozen=True)
class Roles:
    """Each a list of phrases, ``flight-delays (step train)``; empty if the pipeline does nothing of the kind.

    :param models_made: models that the steps make.
    :param models_used: models that the steps use.
    :param champions: registered models that a step reads in their latest version and another one replaces.
    :param families: loops and groups that make several models, and these.
    :param sources: where data transfers take data from, outside of the pipeline.
    :param datasets_made: datasets that are registered.
    """

    models_made: tuple[str, ...] = ()
    models_used: tuple[str, ...] = ()
    champions: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    datasets_made: tuple[str, ...] = ()


def roles_of(spec: PipelineSpec) -> Roles:
    """Return what the steps of a pipeline are for."""
    return Roles(
        models_made=tuple(f"{out.name or port} (step {step.name})" for step, port, out in _models(spec)),
        models_used=tuple(f"{data.path} (step {step.name})" for step, data in _inputs(spec) if _is_model(data)),
        champions=tuple(_champions(spec)),
        families=tuple(_families(spec)),
        sources=tuple(_sources(spec)),
        datasets_made=tuple(
            f"{out.name} (step {step.name})" for step, _, out in _outputs(spec) if out.name and not _is_model(out)
        ),
    )


def _outputs(spec: PipelineSpec) -> Iterator[tuple[Step, str, OutputData]]:
    return ((step, port, output) for step in spec.steps for port, output in step.outputs.items())


def _inputs(spec: PipelineSpec) -> Iterator[tuple[Step, InputData]]:
    return ((step, data) for step in spec.steps for data in step.inputs.values() if isinstance(data, InputData))


def _is_model(data: InputData | OutputData) -> bool:
    return data.type in MODEL_TYPES


def _models(spec: PipelineSpec) -> Iterator[tuple[Step, str, OutputData]]:
    return (made for made in _outputs(spec) if _is_model(made[2]))


def _champions(spec: PipelineSpec) -> Iterator[str]:
    promoting = {out.name: step.name for step, _, out in _models(spec) if out.name}
    judging: dict[str, list[str]] = {}
    for step, data in _inputs(spec):
        judging.setdefault(data.path, []).append(step.name)
    for name, promoter in promoting.items():
        judges = judging.get(f"azureml:{name}@latest", [])
        if judges:
            yield f"{name}: the challenger meets it in {', '.join(judges)} and takes its place in {promoter}"


def _families(spec: PipelineSpec) -> Iterator[str]:
    families: dict[str, dict[str, None]] = {}
    for step, port, out in _models(spec):
        for group in spec.groups(step.name)[:1]:
            families.setdefault(group, {})[out.name or f"{port} of {step.name}"] = None
    return (f"{group}: {', '.join(models)}" for group, models in families.items() if len(models) > 1)


def _sources(spec: PipelineSpec) -> Iterator[str]:
    outside = [(step, data) for step, data in _inputs(spec) if not data.path.startswith("${{parent.jobs.")]
    return (f"{data.path} (step {step.name})" for step, data in outside if step.type == "data_transfer")
