"""The advice that ``mlpipe lint`` gives. A rule looks at a pipeline that is right and notes what is likely not meant.

Nothing is run or imported, and no data is read: only the pipeline, its components and the files of its environments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from airflow_mlpipe.environment import EnvironmentDefinition, load_environment
from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.frozen import to_json
from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import InputData, Step

_SECRET = re.compile(
    r"(^|_)(PASSWORD|PASSWD|PWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|SAS)($|_)", re.IGNORECASE
)
_EXACT = ("==", "===")


@dataclass(frozen=True)
class Subject:
    """A pipeline and where it is written.

    :param root: the top of its file.
    """

    spec: PipelineSpec
    root: Place

    def job(self, step: Step) -> Place:
        """Return the place of a step's job; of the nearest pipeline around it if that is in a file of its own."""
        direct = self.root / "jobs" / step.name
        return direct if direct.is_written else self.root.below(_levels(step.name))


def _levels(name: str) -> list[str]:
    """Return the keys that lead to a job of a nested pipeline that is written in place, ``inner.train``."""
    return [key for part in name.split(".") for key in ("component", "jobs", part)][1:]


Rule = Callable[[Subject, Faults], None]


def unused_inputs(subject: Subject, faults: Faults) -> None:
    """A parameter that no job is bound to does nothing, though people will set it."""
    used = "\n".join(to_json(step).decode() for step in subject.spec.steps)
    for name in subject.spec.parameters:
        if f"${{{{parent.inputs.{name}}}}}" not in used:
            text = f"no job uses the input '{name}'. Bind it, '${{{{parent.inputs.{name}}}}}', or drop it."
            faults.add(subject.root / "inputs" / name, "MLP301", text, of_key=True)


def loose_requirements(subject: Subject, faults: Faults) -> None:
    """The environment counts for reuse by its text, so its text should say which software it is."""
    for step, place, definition in _environments(subject, faults):
        limited = {_name(line) for line in definition.constraints if _is_exact(line)}
        loose = [line for line in definition.pip if not _is_exact(line) and _name(line) not in limited]
        loose += [spec for spec in definition.conda if "=" not in spec]
        if loose:
            shown = ", ".join(f"'{line}'" for line in loose[:3]) + (f" and {len(loose) - 3} more" if loose[3:] else "")
            advice = "another day installs other software. Write name==version, or name a constraints file with '-c'."
            faults.add(place, "MLP302", f"job '{step.name}' asks for {shown} without an exact version: {advice}")


def written_secrets(subject: Subject, faults: Faults) -> None:
    """What a pipeline file says is copied to DAG files and records."""
    for step in subject.spec.steps:
        for name, value in step.environment_variables.items():
            if _SECRET.search(name) and value and "${{" not in value:
                text = (
                    "looks like a secret; it is copied to DAG files and records. Let the workspace or Airflow hold it."
                )
                faults.add(subject.job(step) / "environment_variables" / name, "MLP303", text, of_key=True)


def single_tries(subject: Subject, faults: Faults) -> None:
    """Nobody looks at a scheduled run at night."""
    spec = subject.spec
    if spec.airflow.schedule is None or spec.airflow.retries is not None:
        return
    bare = [step.name for step in spec.steps if spec.step_options[step.name].retries is None]
    if bare:
        who = ", ".join(bare[:3])
        text = f"jobs have no retries ({who}); one lost connection at night fails the run. Write 'retries: 3'."
        faults.add(subject.root / "airflow" / "schedule", "MLP304", text, of_key=True)


def code_beside_pipeline(subject: Subject, faults: Faults) -> None:
    """Every byte of the code folder counts for reuse."""
    spec = subject.spec
    for step in spec.steps:
        if step.code and spec.source.resolve().is_relative_to((spec.folder / step.code).resolve()):
            why = "holds the pipeline file, so every change of it runs the job again"
            text = f"the code folder '{step.code}' {why}. Use a folder of scripts alone."
            faults.add(subject.job(step) / "code", "MLP305", text)


def no_description(subject: Subject, faults: Faults) -> None:
    """Airflow shows it to whoever has to act at night."""
    if not subject.spec.description.strip():
        faults.add(subject.root, "MLP306", "has no 'description'; Airflow would show it beside the DAG.")


def unlimited_catchup(subject: Subject, faults: Faults) -> None:
    """Sixteen runs at once is Airflow's own limit."""
    block = subject.spec.airflow
    if block.catchup and block.max_active_runs is None:
        text = "without 'max_active_runs' up to 16 missed periods run at once. Write how many your compute can take."
        faults.add(subject.root / "airflow" / "catchup", "MLP307", text, of_key=True)


def unnamed_outputs(subject: Subject, faults: Faults) -> None:
    """A declared output that nobody writes fails the step after all its work."""
    for step in _with_command(subject):
        taken = step.parallel.append_row_to if step.parallel else None
        for port, output in step.outputs.items():
            if port != taken and not output.optional and f"${{{{outputs.{port}}}}}" not in _words(step):
                text = (
                    f"the command does not name the output '{port}'; a script must then write to $MLPIPE_OUTPUT_{port}."
                )
                faults.add(subject.job(step) / "outputs" / port, "MLP308", text, of_key=True)


def unnamed_inputs(subject: Subject, faults: Faults) -> None:
    """An input that is not used makes the step run again for nothing."""
    for step in _with_command(subject):
        taken = step.parallel.input if step.parallel else None
        for port, value in step.inputs.items():
            if port != taken and isinstance(value, InputData) and f"${{{{inputs.{port}}}}}" not in _words(step):
                text = (
                    f"the command does not name the input '{port}', yet the job runs again whenever its data changes."
                )
                faults.add(subject.job(step) / "inputs" / port, "MLP309", text, of_key=True)


RULES: tuple[Rule, ...] = (
    unused_inputs,
    loose_requirements,
    written_secrets,
    single_tries,
    code_beside_pipeline,
    no_description,
    unlimited_catchup,
    unnamed_outputs,
    unnamed_inputs,
)


def _environments(subject: Subject, faults: Faults) -> Iterator[tuple[Step, Place, EnvironmentDefinition]]:
    """Yield each environment that is written in the pipeline, once."""
    seen: set[str] = set()
    for step in subject.spec.steps:
        if not isinstance(step.environment, dict) or repr(step.environment) in seen:
            continue
        seen.add(repr(step.environment))
        place = subject.job(step) / "environment"
        try:
            yield step, place, load_environment(step.environment, subject.spec.folder)
        except MLPipeError as error:
            faults.add(place, "MLP310", str(error))


def _with_command(subject: Subject) -> Iterator[Step]:
    return (step for step in subject.spec.steps if _words(step))


def _words(step: Step) -> str:
    return (step.parallel.program_arguments if step.parallel else step.command) or ""


def _is_exact(line: str) -> bool:
    requirement = _requirement(line)
    return (
        requirement is None or requirement.url is not None or any(s.operator in _EXACT for s in requirement.specifier)
    )


def _name(line: str) -> str:
    requirement = _requirement(line)
    return requirement.name.lower().replace("_", "-") if requirement else line


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line.split(" --hash")[0])
    except InvalidRequirement:
        return None
