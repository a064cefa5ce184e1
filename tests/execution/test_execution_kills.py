"""Workers killed at random moments, on this machine, over SSH and on Slurm; `make soak-kills` does it at length."""

import time

import pytest

from airflow_mlpipe.testing.kill_harness import KillHarness

KILLS = 6


@pytest.fixture(params=["local", "ssh", "slurm"])
def target(request, tmp_path):
    if request.param == "local":
        return {"type": "local", "workdir": str(tmp_path / "jobs")}
    if request.param == "slurm":
        conf = str(request.getfixturevalue("slurm").conf)
        return {"type": "slurm", "workdir": str(tmp_path / "jobs"), "conf": conf}
    sshd = request.getfixturevalue("sshd")
    return {"type": "ssh", **sshd.settings, "workdir": str(tmp_path / "jobs")}


def test_killed_workers_leave_one_job_a_run_and_every_result(target, tmp_path):
    seed = int(time.time())
    settings = {
        "datastores": {"workspaceblobstore": {"type": "local", "path": "store"}},
        "compute": {"local": target},
    }
    report = KillHarness(settings, tmp_path, tmp_path / "jobs", seed).run(KILLS)
    assert report.is_clean, f"seed {seed}: {report}\n{(tmp_path / 'workers.log').read_text()}"
    assert report.kills == KILLS
    assert report.runs > 1
