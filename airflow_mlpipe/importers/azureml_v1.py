"""Pipeline YAML of the Azure ML SDK v1 (``Pipeline.load_yaml``): parameters, data references, steps and their ports."""

from __future__ import annotations

import shlex
from typing import Any

from airflow_mlpipe.importers.section import Names, Section, failing_command, plain_name
from airflow_mlpipe.spec.structure import describe

_TYPES = {"int": "integer", "float": "number", "string": "string", "bool": "boolean"}
_INPUT_MODES = {"mount": "ro_mount", "download": "download", "direct": "direct"}
_OUTPUT_MODES = {"mount": "rw_mount", "upload": "upload", "direct": "direct"}
_PORTS = {"input": "inputs", "output": "outputs", "parameter": "inputs"}


def is_azureml_v1(data: dict[str, Any]) -> bool:
    """Return whether a file is one of these."""
    return isinstance(data.get("pipeline"), dict) and "steps" in data["pipeline"]


class V1Reader:
    """Reads one file.

    :param top: the file.
    :param stem: its name, for a pipeline that has none.
    """

    def __init__(self, top: Section, stem: str) -> None:
        self._top = top
        self._stem = stem
        self._inputs = Names()
        self._jobs = Names()
        self._made: dict[str, tuple[str, str]] = {}

    def pipelines(self) -> dict[str, dict[str, Any]]:
        """Return our pipeline by its name."""
        body = self._top.section("pipeline")
        title = body.text("name") or self._stem
        result: dict[str, Any] = {"type": "pipeline", "name": plain_name(title)}
        if result["name"] != title:
            result["display_name"] = title
        result["description"] = body.text("description") or f"Imported from {self._stem}."
        compute = body.text("default_compute")
        if compute:
            result["settings"] = {"default_compute": f"azureml:{compute}"}
        inputs = {**self._parameters(body), **self._references(body)}
        if inputs:
            result["inputs"] = inputs
        steps = list(body.sections("steps"))
        for key, step in steps:
            self._note_outputs(self._jobs.give(key), step)
        result["jobs"] = {self._jobs[key]: self._job(step) for key, step in steps}
        body.close()
        self._top.close()
        return {result["name"]: result}

    def _parameters(self, body: Section) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, section in body.sections("parameters"):
            name, kind = self._inputs.give(key), section.text("type") or "string"
            if kind == "datapath":
                found[name] = self._data(section.section("default"))
                section.changed(section.place, "becomes a data input, whose place a run cannot choose.")
            else:
                if kind not in _TYPES:
                    section.changed(section.place / "type", f"the type {kind!r} becomes 'string'.")
                found[name] = {"type": _TYPES.get(kind, "string")}
                default = section.take("default")
                if default is not None:
                    found[name]["default"] = default
            section.close()
        return found

    def _references(self, body: Section) -> dict[str, Any]:
        found = {}
        for key, section in body.sections("data_references"):
            found[self._inputs.give(key)] = self._data(section)
        return found

    def _data(self, section: Section) -> dict[str, Any]:
        dataset, version = section.text("dataset_name"), section.text("dataset_version")
        if dataset:
            path = f"azureml:{dataset}:{version}" if version else f"azureml:{dataset}@latest"
        else:
            inside = (section.text("path_on_datastore") or "").replace("\\", "/").strip("/")
            path = f"azureml://datastores/{section.text('datastore') or 'workspaceblobstore'}/paths/{inside}"
        section.close("the reference is its datastore and path, or its dataset.")
        kind = "uri_file" if "." in path.rpartition("/")[2] and not dataset else "uri_folder"
        return {"type": kind, "path": path}

    def _note_outputs(self, job: str, step: Section) -> None:
        """Remember who makes what: steps name data by its destination."""
        for key, output in step.sections("outputs"):
            self._made[output.text("destination") or key] = (job, plain_name(key))

    def _job(self, step: Section) -> dict[str, Any]:
        kind = step.text("type") or "PythonScriptStep"
        ports = {"inputs": self._job_inputs(step), "outputs": self._job_outputs(step)}
        job = self._script(step) if kind in ("PythonScriptStep", "CommandStep") else self._unknown(step, kind)
        if step.text("name") is not None:
            step.changed(step.place / "name", "a job is shown under its key in 'jobs'.")
        compute = step.text("compute", "compute_target", "compute_name")
        if compute:
            job["compute"] = f"azureml:{compute}"
        job |= {key: value for key, value in ports.items() if value}
        if step.take("allow_reuse") is False:
            job["airflow"] = {"allow_reuse": False}
        if "runconfig" in step:
            step.take("runconfig")
            step.lost(step.place / "runconfig", "write its packages as 'environment: {conda_file: ...}' of the job.")
        step.close()
        return job

    def _script(self, step: Section) -> dict[str, Any]:
        code = step.text("source_directory")
        words = [self._word(word, step) for word in _list(step, "arguments")]
        script = step.text("script_name")
        command = step.text("command")
        if command is None:
            command = " ".join(["python", shlex.quote(script or "missing.py"), *words])
        if script is None and command.startswith("python missing.py"):
            step.lost(step.place, "there is no 'script_name'; write the command.")
            command = failing_command("no script_name")
        found = {"type": "command", "command": command}
        if code or script:
            found["code"] = f"./{(code or '.').replace(chr(92), '/').removeprefix('./')}".replace("./.", ".")
        return found

    def _unknown(self, step: Section, kind: str) -> dict[str, Any]:
        advice = "write the job by hand; until then it fails, so that nobody believes it ran."
        step.lost(step.place / "type", f"there is no step like {kind}; {advice}")
        step.close(f"it belongs to {kind}.")
        return {"type": "command", "command": failing_command(kind)}

    def _word(self, word: Any, step: Section) -> str:
        """Return a word of the arguments: ``input:x``, ``output:x``, ``parameter:x`` or text."""
        text = str(word)
        kind, sign, name = text.partition(":")
        if sign and kind in _PORTS and name:
            return f"${{{{{_PORTS[kind]}.{plain_name(name)}}}}}"
        if "${{" in text or "$[[" in text:
            step.lost(step.place / "arguments", f"'{text}' would be read as an expression.")
            return "''"
        return shlex.quote(text)

    def _job_inputs(self, step: Section) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, section in step.sections("inputs"):
            source = section.text("source", "source_data_reference") or key
            address = self._address(source)
            if address is None:
                section.lost(section.place, f"nothing is called '{source}'.")
            else:
                mode = _INPUT_MODES.get(section.text("type", "bind_mode") or "")
                found[plain_name(key)] = {"type": "uri_folder", "path": address, "mode": mode} if mode else address
            section.close("the place of data in a job is chosen for it.")
        parameters = step.section("parameters")
        for key in list(parameters.keys()):
            found[plain_name(key)] = self._value(parameters, key)
        parameters.close()
        return found

    def _value(self, parameters: Section, key: str) -> Any:
        value = parameters.take(key)
        if isinstance(value, dict):
            inner = parameters.within(value, key)
            source = inner.text("source")
            inner.close()
            if source is not None and source in self._inputs:
                return f"${{{{parent.inputs.{self._inputs[source]}}}}}"
            parameters.lost(parameters.place / key, f"no parameter is called '{source}'.")
            return ""
        if isinstance(value, list):
            parameters.lost(parameters.place / key, f"{describe(value)} is no value of an input.")
            return ""
        return value

    def _address(self, source: str) -> str | None:
        if source in self._made:
            job, port = self._made[source]
            return f"${{{{parent.jobs.{job}.outputs.{port}}}}}"
        return f"${{{{parent.inputs.{self._inputs[source]}}}}}" if source in self._inputs else None

    def _job_outputs(self, step: Section) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, section in step.sections("outputs"):
            section.take("destination")
            mode = _OUTPUT_MODES.get(section.text("type", "bind_mode") or "")
            found[plain_name(key)] = {"type": "uri_folder", **({"mode": mode} if mode else {})}
            section.close("results lie in the store of the workspace, under a fresh path for each attempt.")
        return found


def _list(step: Section, key: str) -> list[Any]:
    value = step.take(key)
    if isinstance(value, list):
        return value
    return [] if value is None else shlex.split(str(value))
