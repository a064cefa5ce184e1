"""YAML of dag-factory: DAGs of any Airflow operator. Shell and Python tasks become jobs; the graph is kept for all."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import Any

from airflow_mlpipe.importers.section import Names, Section, failing_command, plain_name
from airflow_mlpipe.spec.diagnostics import Place
from airflow_mlpipe.spec.structure import describe

_TEMPLATE = re.compile(r"\{\{\s*(?P<what>[^}]*?)\s*\}\}|\{%.*?%\}", re.DOTALL)
_RUN_FIELDS = frozenset({"ds", "ts", "run_id", "data_interval_start", "data_interval_end", "logical_date"})
_SAME = ("catchup", "max_active_runs")
_PRESETS = {"@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLAIN_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def is_dag_factory(data: dict[str, Any]) -> bool:
    """Return whether a file is one of these: every key but ``default`` is a DAG with tasks."""
    dags = [value for key, value in data.items() if key != "default"]
    return bool(dags) and all(isinstance(value, dict) and "tasks" in value for value in dags)


class DagFactoryReader:
    """Reads one file, which may hold several DAGs.

    :param top: the file.
    """

    def __init__(self, top: Section) -> None:
        self._top = top

    def pipelines(self) -> dict[str, dict[str, Any]]:
        """Return our pipelines by name."""
        names = Names()
        default = self._top.take("default")
        found = {}
        for key in list(self._top.keys()):
            body = self._top.section(key)
            defaults = self._top.within(default, "default")
            found[names.give(key)] = _Dag(names.give(key), key, body, defaults).pipeline()
        return found


class _Dag:
    def __init__(self, name: str, title: str, body: Section, defaults: Section) -> None:
        self._name = name
        self._title = title
        self._body = body
        self._defaults = defaults
        self._tasks = Names()
        self._inputs: dict[str, Any] = {}

    def pipeline(self) -> dict[str, Any]:
        body = self._body
        result: dict[str, Any] = {"type": "pipeline", "name": self._name}
        title = self._either("text", "dag_display_name") or self._title
        if title != self._name:
            result["display_name"] = title
        result["description"] = self._either("text", "description") or f"Imported from dag-factory's {self._title}."
        self._parameters()
        block = self._block()
        tasks = [(name, task) for name, task in self._entries("tasks") if name]
        for name, _ in tasks:
            self._tasks.give(name)
        jobs = {self._tasks[name]: self._job(task) for name, task in tasks}
        if self._inputs:
            result["inputs"] = self._inputs
        result["jobs"] = jobs
        if block:
            result["airflow"] = block
        if body.take("task_groups") is not None:
            body.changed(body.place / "task_groups", "jobs stand side by side; write a nested pipeline to group them.")
        body.close()
        self._defaults.close()
        return result

    def _either(self, how: str, *keys: str) -> Any:
        """Return a value of the DAG, else of the file's defaults."""
        own, default = getattr(self._body, how)(*keys), getattr(self._defaults, how)(*keys)
        return default if own is None else own

    def _entries(self, key: str) -> list[tuple[str, Section]]:
        """Return tasks in either of dag-factory's forms: a mapping by id, or a list with ``task_id``."""
        value = self._body.take(key)
        if isinstance(value, dict):
            section = self._body.within(value, key)
            return [(name, section.section(name)) for name in value]
        found = []
        for number, item in enumerate(value if isinstance(value, list) else []):
            section = self._body.within(item, key, number)
            name = section.text("task_id")
            if name is None:
                section.lost(section.place, "it has no 'task_id'.")
            found.append((name or "", section))
        return found

    def _block(self) -> dict[str, Any]:
        block: dict[str, Any] = {}
        schedule = self._schedule()
        if schedule:
            block["schedule"] = schedule
        arguments = [section.section("default_args") for section in (self._body, self._defaults)]
        for key in ("start_date", "end_date"):
            block |= self._date(key, arguments)
        block |= {key: value for key in _SAME if (value := self._either("take", key)) is not None}
        tags = self._either("take", "tags")
        if isinstance(tags, list):
            block["tags"] = [str(tag) for tag in tags]
        for key in ("owner", "pool", "queue", "retries"):
            values = [value for section in arguments if (value := section.take(key)) is not None]
            block |= {key: values[0]} if values else {}
        block |= _delay(arguments)
        for section in arguments:
            section.close("our jobs have no such setting.")
        return block

    def _schedule(self) -> Any:
        value = self._either("take", "schedule", "schedule_interval")
        zone = self._either("text", "timezone")
        place = self._body.place / ("schedule" if "schedule" in self._body else "schedule_interval")
        if value is None or value == "None":
            return None
        if not isinstance(value, str) or (value.startswith("@") and value not in _PRESETS):
            self._body.lost(place, f"a schedule is cron text or a preset here, got {describe(value)}.")
            return None
        return {"type": "cron", "expression": value, "time_zone": zone} if zone and zone != "UTC" else value

    def _date(self, key: str, arguments: list[Section]) -> dict[str, str]:
        sections = [self._body, self._defaults, *arguments]
        found = [(section, text) for section in sections if (text := section.text(key)) is not None]
        if not found:
            return {}
        section, text = found[0]
        if not _DATE.match(text):
            section.lost(section.place / key, f"'{text}' is another date each day; write 2024-01-01.")
            return {}
        return {key: text.replace(" ", "T")}

    def _parameters(self) -> None:
        parameters = self._body.section("params")
        for key in list(parameters.keys()):
            value = parameters.take(key)
            kind = _PLAIN_TYPES.get(type(value))
            if kind is None:
                parameters.lost(parameters.place / key, f"an input is a scalar, got {describe(value)}.")
            else:
                self._inputs[plain_name(key)] = {"type": kind, "default": value}

    def _job(self, task: Section) -> dict[str, Any]:
        operator = (task.text("operator", "decorator") or "").rpartition(".")[2]
        inputs: dict[str, Any] = {}
        block = self._job_block(task)
        if operator == "BashOperator":
            job = self._bash(task, inputs)
        elif operator == "PythonOperator":
            job = _python(task)
        elif operator in ("EmptyOperator", "DummyOperator"):
            job = {"type": "command", "command": "true"}
        else:
            task.lost(task.place, f"there is no job like {operator or 'this'}; until you write one it fails.")
            task.close(f"it belongs to {operator}.")
            job = {"type": "command", "command": failing_command(operator or "no operator")}
        if inputs:
            job["inputs"] = inputs
        task.close()
        return {**job, **({"airflow": block} if block else {})}

    def _bash(self, task: Section, inputs: dict[str, Any]) -> dict[str, Any]:
        place = task.place / "bash_command"
        text = task.text("bash_command") or ""
        unknown = [match[0] for match in _TEMPLATE.finditer(text) if self._binding(match) is None]
        if "${{" in text or "$[[" in text:
            unknown.append("an expression of ours")
        if unknown:
            task.lost(place, f"{unknown[0]!r} has no counterpart; until you write the command the job fails.")
            return {"type": "command", "command": failing_command("template in bash_command")}

        def replace(match: re.Match[str]) -> str:
            port, value = self._binding(match) or ("", "")
            inputs[port] = value
            return f"${{{{inputs.{port}}}}}"

        job: dict[str, Any] = {"type": "command", "command": _TEMPLATE.sub(replace, text) or "true"}
        variables = task.take("env")
        if isinstance(variables, dict):
            job["environment_variables"] = {
                name: self._variable(task, name, value) for name, value in variables.items()
            }
        return job

    def _variable(self, task: Section, name: str, value: Any) -> str:
        text = str(value)
        if _TEMPLATE.search(text) or "${{" in text:
            task.lost(task.place / "env" / name, "a variable holds plain text only.")
            return ""
        return text

    def _binding(self, match: re.Match[str]) -> tuple[str, str] | None:
        """Return the port and the value that stand for a template, ``{{ ds }}`` or ``{{ params.x }}``."""
        what = match["what"] or ""
        if what in _RUN_FIELDS:
            return what, f"${{{{airflow.{what}}}}}"
        name = plain_name(what.removeprefix("params."))
        if what.startswith("params.") and name in self._inputs:
            return name, f"${{{{parent.inputs.{name}}}}}"
        return None

    def _job_block(self, task: Section) -> dict[str, Any]:
        block: dict[str, Any] = {}
        after = [self._known(task, name) for name in _texts(task.take("dependencies"))]
        if any(after):
            block["run_after"] = [name for name in after if name]
        for key in ("retries", "pool", "queue", "priority_weight"):
            value = task.take(key)
            if value is not None:
                block[key] = value
        block |= _delay([task])
        limit = task.take("execution_timeout_secs", "execution_timeout")
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            block["execution_timeout"] = limit
        elif limit is not None:
            task.lost(task.place / "execution_timeout", f"a time limit is a number of seconds, got {describe(limit)}.")
        if (group := task.text("task_group_name")) is not None:
            task.changed(task.place / "task_group_name", f"the job stands outside of a group, '{group}' is dropped.")
        if (rule := task.text("trigger_rule")) not in (None, "all_success"):
            task.lost(task.place / "trigger_rule", f"'{rule}': a job runs when those before it have ended well.")
        return block

    def _known(self, task: Section, name: str) -> str | None:
        if name in self._tasks:
            return self._tasks[name]
        place: Place = task.place / "dependencies"
        task.lost(place, f"'{name}' is no task of this DAG; a dependency on a group is written as one on its tasks.")
        return None


def _python(task: Section) -> dict[str, Any]:
    function, file = task.text("python_callable_name"), task.text("python_callable_file")
    dotted = task.text("python_callable")
    if function and file and file.endswith(".py"):
        path = PurePosixPath(file)
        words = f"import {path.stem}; {path.stem}.{function}()"
        task.changed(task.place, "the function is called in a process of its own, without Airflow's context.")
        if path.stem.isidentifier() and function.isidentifier():
            code = path.parent.as_posix()
            folder = {"code": code if code.startswith(("/", "..")) else f"./{code}".replace("./.", ".")}
            return {"type": "command", "command": f"python -c {shlex.quote(words)}", **folder}
    task.lost(
        task.place, f"{dotted or 'the callable'} is not a function in a file; until you write a script the job fails."
    )
    return {"type": "command", "command": failing_command("PythonOperator")}


def _delay(sections: list[Section]) -> dict[str, Any]:
    for section in sections:
        value = section.take("retry_delay_sec", "retry_delay")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"retry_delay": value}
        if value is not None:
            section.lost(section.place / "retry_delay", f"a delay is a number of seconds, got {describe(value)}.")
    return {}


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
