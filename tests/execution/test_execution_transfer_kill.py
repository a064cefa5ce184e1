"""A transfer whose process is killed at any point: the next try completes it, and nothing is torn meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.workspace import load_workspace

WORKSPACE = """
datastores:
  workspaceblobstore: {type: local, path: store}
  lake: {type: local, path: lake}
compute: {local: {type: inline}}
"""
COPY = """
import os, signal, sys
from pathlib import Path
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.transfers import fetch
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import load_workspace
folder, export, fatal = Path(sys.argv[1]), sys.argv[2] == "export", int(sys.argv[3])
fetch._FILES_AT_ONCE = 3
count = 0
def die(event, arguments):
    global count
    if event in ("os.rename", "os.link", "shutil.move", "os.mkdir", "os.remove") or (
        event == "open" and str(folder) in str(arguments[0]) and arguments[1] not in (None, "r", "rb")
    ):
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
output = {"path": "azureml://datastores/lake/paths/out"} if export else {}
step = checked(Step, {
    "name": "copy", "type": "data_transfer", "copy_mode": "merge_with_overwrite",
    "inputs": {"i": {"path": "src"}}, "outputs": {"out": output},
})
record = begin(load_workspace(folder / "workspace.yml"), step, RunInfo("p", "r", {}, {}, folder), 0)
print(count, record.outputs["out"].path)
"""


def copy(folder: Path, kind: str, fatal: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COPY, str(folder), kind, str(fatal)], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("kind", ["import", "export"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.8, 0.95])
def test_a_killed_transfer_is_completed_by_the_next_try(tmp_path: Path, kind: str, part: float) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        (folder / "src" / "deep").mkdir(parents=True)
        (folder / "workspace.yml").write_text(WORKSPACE)
        for number in range(8):
            (folder / "src" / "deep" / f"{number}.bin").write_bytes(bytes([number]) * 70_000)
    said = copy(whole, kind, 0)
    assert said.returncode == 0, said.stderr
    killed = copy(cut, kind, max(1, int(int(said.stdout.split()[0]) * part)))
    assert killed.returncode == -signal.SIGKILL
    for path in (cut / "lake").rglob("*.bin"):
        if ".mlpipe" not in path.parts:
            assert path.read_bytes() == bytes([int(path.stem)]) * 70_000, "a file is whole or not there"
    again = copy(cut, kind, 0)
    assert again.returncode == 0, again.stderr
    workspace = load_workspace(cut / "workspace.yml")
    store = workspace.datastore("lake" if kind == "export" else None)
    assert store.manifest(again.stdout.split()[1]) == scan(cut / "src")
