"""What travels to another machine: few imports, an old Python, the same bytes everywhere."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from airflow_mlpipe.compute import far_side
from airflow_mlpipe.compute.archive import far_side_archive
from airflow_mlpipe.compute.far_side.delivery import OLD, Delivery
from airflow_mlpipe.compute.far_side.desk import Desk

FOLDER = Path(far_side.__file__).parent
OWN = "airflow_mlpipe.compute.far_side"
MODULES = sorted(FOLDER.glob("*.py"))
NEWER = {"removeprefix", "removesuffix", "readlink", "is_relative_to", "hardlink_to", "pidfd_open", "pidfd_send_signal"}
"""Names that Python 3.8 does not have."""
GUARDED = {("processes.py", "pidfd_open"), ("processes.py", "pidfd_send_signal")}


def old_python():
    """Return the oldest interpreter of this machine that really runs, those of pyenv too."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(8, 14):
        name = f"python3.{minor}"
        for found in (*sorted(map(str, versions.glob(f"*/bin/{name}"))), shutil.which(name)):
            if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
                return found
    return sys.executable


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_far_side_needs_python_3_8_and_its_standard_library_alone(module):
    tree = ast.parse(module.read_text(), feature_version=(3, 8))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported if not name.startswith(OWN)} <= sys.stdlib_module_names
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & NEWER
    assert {(module.name, name) for name in used if name != "readlink"} <= GUARDED
    assert "from __future__ import annotations" in module.read_text() or module.name == "__init__.py"


def test_the_archive_has_the_same_bytes_for_the_same_files_and_holds_nothing_else():
    archive = far_side_archive()
    far_side_archive.cache_clear()
    assert far_side_archive() == archive
    with zipfile.ZipFile(io.BytesIO(archive.data)) as opened:
        names = set(opened.namelist())
    own = {f"airflow_mlpipe/compute/far_side/{path.name}" for path in MODULES}
    assert names == own | {"__main__.py", "airflow_mlpipe/__init__.py", "airflow_mlpipe/compute/__init__.py"}
    assert archive.digest[:16] in archive.name


@pytest.mark.parametrize("options", [[], ["--stay"]])
def test_the_archive_runs_a_job_with_the_oldest_python_of_this_machine(tmp_path, options):
    program = tmp_path / far_side_archive().name
    program.write_bytes(far_side_archive().data)
    job = tmp_path / "mlp-far"
    (job / "code").mkdir(parents=True)
    (job / "files").mkdir()
    spec = {"key": "mlp-far", "command": "echo $MLPIPE_JOB_KEY; echo hello > ../out/x", "variables": {}}
    spec.update(search_path=[], folders=[str(job / "out")], timeout=None, outputs={"o": str(job / "out")})
    (job / "spec.json").write_text(json.dumps({**spec, "journal": str(tmp_path / "journal")}))
    command = [old_python(), "-I", "-S", "-B", str(program), "launch", *options, str(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (0, "claimed")
    deadline = time.monotonic() + 60
    while not (job / "exit.json").exists():
        assert time.monotonic() < deadline
        assert not options
        time.sleep(0.05)
    record = json.loads((job / "exit.json").read_text())
    assert (record["reason"], record["exit_code"]) == ("", 0)
    assert (job / "log.txt").read_text() == "mlp-far\n"
    digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert json.loads((job / "outputs.json").read_text()) == {"o": {"x": [6, digest]}}


def test_what_was_sent_in_vain_goes_after_a_day(tmp_path):
    delivery = Delivery(Desk(tmp_path, []))
    folders = {key: Path(delivery.wanted(key, [])["folder"]) for key in ("mlp-old", "mlp-fresh", "mlp-going-on")}
    for folder in folders.values():
        (folder / "part").write_bytes(b"x")
    old = time.time() - OLD - 60
    for folder in (folders["mlp-old"], folders["mlp-going-on"]):
        for path in (folder / "part", folder):
            os.utime(path, (old, old))
    os.utime(folders["mlp-going-on"] / "part")
    delivery.clear()
    assert sorted(path.name for path in (tmp_path / ".incoming").iterdir()) == ["mlp-fresh", "mlp-going-on"]


def test_an_agent_clears_up_when_it_starts(tmp_path):
    program = tmp_path / far_side_archive().name
    program.write_bytes(far_side_archive().data)
    folder = tmp_path / "jobs" / ".incoming" / "mlp-old"
    folder.mkdir(parents=True)
    os.utime(folder, (1, 1))
    command = [old_python(), "-I", "-S", "-B", str(program), "agent", str(tmp_path / "jobs")]
    done = subprocess.run(command, input=b"", capture_output=True, check=True)
    assert b'"mlpipe"' in done.stdout
    assert not folder.exists()
