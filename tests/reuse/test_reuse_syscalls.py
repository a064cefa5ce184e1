"""Killed at system calls spread over all of publish, restore and submit: whole or none, and one job."""

import json
import subprocess
import sys
from pathlib import Path

_SOAK = Path(__file__).parents[2] / "benchmarks" / "soak_syscalls.py"
POINTS = 24
_PROGRAM = """
import json, pathlib, sys
from airflow_mlpipe.testing.kills import Call, calls_of, killed_at

folder = pathlib.Path(sys.argv[1])
def work():
    for name in "abc":
        (folder / name).mkdir()
calls = [call for call in calls_of(work) if call.name == "mkdir"]
for name in "abc":
    (folder / name).rmdir()
killed = killed_at(Call("mkdir", 2), work)
made = sorted(path.name for path in folder.iterdir())
beyond = killed_at(Call("mkdir", 9), lambda: None)
try:
    calls_of(lambda: 1 // 0)
except RuntimeError as error:
    fault = str(error)
print(json.dumps({"calls": calls, "killed": killed, "made": made, "beyond": beyond, "fault": fault}))
"""


def test_a_kill_at_a_system_call_leaves_all_or_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(_SOAK), "--points", str(POINTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    publish, restore, submit = (json.loads(line) for line in done.stdout.splitlines())
    for case in (publish, restore, submit):
        assert case["broken"] == []
        assert case["calls"] > 5 * POINTS
        assert case["killed"] > POINTS * 3 // 4
        assert case["none"] > 0
    assert publish["whole"] > 0
    assert submit["whole"] > 0


def test_the_call_itself_is_not_made(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "calls": [["mkdir", 1], ["mkdir", 2], ["mkdir", 3]],
        "killed": True,
        "made": ["a"],
        "beyond": False,
        "fault": "The work failed by itself (status 256).",
    }
