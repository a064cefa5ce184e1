"""The pipelines that are measured: trivial work in a graph of any size, written as a user would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

WORKSPACE = """\
name: benchmark
datastores:
  workspaceblobstore: {type: local, path: ./store}
compute:
  local: {type: local, workdir: ./jobs}
"""
SOURCE, SCRIPT = "src", "step.sh"
_SCRIPT_TEXT = """\
# usage: step.sh NUMBER FOLDER [FOLDER OF THE STEP BEFORE]
[ -z "$3" ] || cat "$3/lines" > "$2/lines"
echo "$1" >> "$2/lines"
"""
_CHUNK = 1 << 20
_FOLDER_SIZE = 200


def step_name(number: int) -> str:
    """Return the name of a step."""
    return f"step_{number:04d}"


def chain(steps: int) -> dict[int, tuple[int, ...]]:
    """Return a graph in which each step waits for the one before: step to the steps that it depends on."""
    return {number: (number - 1,) if number else () for number in range(steps)}


def layers(steps: int, width: int = 10) -> dict[int, tuple[int, ...]]:
    """Return a graph of layers, in which each step depends on two steps of the layer before."""
    graph: dict[int, tuple[int, ...]] = {}
    for number in range(steps):
        layer, place = divmod(number, width)
        above = (layer - 1) * width
        graph[number] = (above + place, above + (place + 1) % width) if layer else ()
    return graph


def chain_pipeline(name: str, steps: int, data: Mapping[str, str] | None = None) -> str:
    """Return the YAML of a chain: each step runs a small script, which adds a line to those of the step before.

    :param data: port to path, further inputs of the first step.
    """
    lines = ["type: pipeline", f"name: {name}", "jobs:"]
    for number in chain(steps):
        before = " ${{inputs.before}}" if number else ""
        lines += [
            f"  {step_name(number)}:",
            "    type: command",
            f"    code: ./{SOURCE}",
            f"    command: sh {SCRIPT} {number} ${{{{outputs.out}}}}{before}",
        ]
        if number:
            inputs = [f"      before: ${{{{parent.jobs.{step_name(number - 1)}.outputs.out}}}}"]
        else:
            inputs = [f"      {port}: {{type: uri_folder, path: {path}}}" for port, path in (data or {}).items()]
        lines += [*(["    inputs:", *inputs] if inputs else []), "    outputs:", "      out: {type: uri_folder}"]
    return "\n".join([*lines, ""])


def chain_for_dvc(steps: int, data: Mapping[str, str] | None = None) -> str:
    """Return the same chain as a ``dvc.yaml``; the script is a dependency, as its source folder is in ours."""
    stages: dict[str, object] = {}
    for number in chain(steps):
        name, before = step_name(number), [step_name(number - 1)] if number else []
        stages[name] = {
            "cmd": " ".join([f"mkdir -p {name} && sh {SOURCE}/{SCRIPT} {number} {name}", *before]),
            "deps": [SOURCE, *(before if number else (data or {}).values())],
            "outs": [name],
        }
    return json.dumps({"stages": stages}, indent=1) + "\n"  # JSON is YAML


def layered_pipeline(name: str, steps: int) -> str:
    """Return the YAML of layered steps with source folders, a parameter, retries and several inputs."""
    lines = ["type: pipeline", f"name: {name}", "description: Layers of steps.", "inputs:"]
    lines += ["  rate: {type: number, default: 0.1, min: 0, max: 1, description: Share of the rows to keep.}", "jobs:"]
    for number, upstream in layers(steps).items():
        ports = "".join(f" --{port} ${{{{inputs.{port}}}}}" for port in ("left", "right")[: len(upstream)])
        command = f"sh {SCRIPT} --number {number}{ports}"
        lines += [
            f"  {step_name(number)}:",
            "    type: command",
            f"    code: ./{SOURCE}",
            f"    command: {command} --rate ${{{{inputs.rate}}}} --out ${{{{outputs.out}}}}",
            "    inputs:",
            "      rate: ${{parent.inputs.rate}}",
        ]
        for port, before in zip(("left", "right"), upstream, strict=False):
            lines.append(f"      {port}: ${{{{parent.jobs.{step_name(before)}.outputs.out}}}}")
        lines += ["    outputs:", "      out: {type: uri_folder}", "    airflow: {retries: 3}"]
    return "\n".join([*lines, ""])


def write_project(folder: Path, pipeline: str) -> Path:
    """Write a pipeline and its workspace, and return the pipeline's path."""
    write_source(folder)
    (folder / "workspace.yml").write_text(WORKSPACE)
    path = folder / "pipeline.yml"
    path.write_text(pipeline)
    return path


def write_source(folder: Path) -> None:
    """Write the source folder of every step."""
    (folder / SOURCE).mkdir(parents=True, exist_ok=True)
    (folder / SOURCE / SCRIPT).write_text(_SCRIPT_TEXT)


def write_big_data(folder: Path, size: int, files: int) -> None:
    """Write ``one/data.bin`` of a size and ``many/`` with small files, the same bytes every time.

    :param size: bytes of the one file.
    :param files: number of the small files, of 10 kB each.
    """
    pattern = bytes((place * 17 + place // 251) % 251 for place in range(10_240))
    one, many = folder / "one" / "data.bin", folder / "many"
    one.parent.mkdir(parents=True)
    chunk = pattern * (_CHUNK // len(pattern) + 1)
    with one.open("wb") as target:
        for number in range(0, size, _CHUNK):
            target.write((number.to_bytes(8, "big") + chunk)[: min(_CHUNK, size - number)])
    for number in range(files):
        place = many / f"{number // _FOLDER_SIZE:03d}"
        if number % _FOLDER_SIZE == 0:
            place.mkdir(parents=True)
        (place / f"{number:05d}.csv").write_bytes(f"{number}\n".encode() + pattern)
