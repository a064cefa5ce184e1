"""What ``mlpipe run`` does not import when every step is reused; each of these costs a start 1 to 20 ms."""

import json
import subprocess
import sys
from pathlib import Path

NOT_NEEDED = (
    "airflow",
    "airflow_mlpipe.spec.loading",
    "asyncio",
    "azure",
    "concurrent.futures",
    "croniter",
    "ctypes",
    "httpx",
    "jinja2",
    "pathspec",
    "pydantic",
    "rich",
    "ssl",
    "subprocess",
)
RUN = """
import json, sys
from airflow_mlpipe.cli import main
code = main.main(["run", "pipeline.yml"])
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""
PIPELINE = """
type: pipeline
name: small
jobs:
  say:
    type: command
    code: ./src
    command: cat words > ${{outputs.out}}/words
    inputs: {data: {type: uri_folder, path: ./src}}
    outputs: {out: {type: uri_folder}}
"""


def test_a_run_that_reuses_every_step_imports_nothing_that_only_jobs_or_terminals_need(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "words").write_text("words")
    (tmp_path / "workspace.yml").write_text("name: test\n")
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    outputs = []
    for _ in range(2):
        command = [sys.executable, "-c", RUN]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    assert "1 ran, 0 reused" in outputs[0]
    assert "0 ran, 1 reused" in outputs[1]
    imported = json.loads(outputs[1].splitlines()[-1])
    assert "airflow_mlpipe.execution.planner" in imported
    assert [name for name in NOT_NEEDED if name in imported] == []
