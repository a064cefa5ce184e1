"""The contract suite over a real Slurm: the login node is this machine, or is reached over SSH."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import ComputeTarget
from airflow_mlpipe.compute.slurm.target import SlurmTarget
from airflow_mlpipe.testing.compute_target import ComputeTargetContract
from airflow_mlpipe.testing.slurm import SlurmCluster
from airflow_mlpipe.testing.sshd import SSHServer


class TestSlurmTarget(ComputeTargetContract):
    @pytest.fixture
    def target(self, tmp_path: Path, slurm: SlurmCluster) -> ComputeTarget:
        config = {"type": "slurm", "workdir": "jobs", "conf": str(slurm.conf)}
        yield SlurmTarget.from_config("cluster", config, tmp_path)
        slurm.run("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}", check=False)


class TestSlurmTargetOverSSH(ComputeTargetContract):
    @pytest.fixture
    def target(self, tmp_path: Path, slurm: SlurmCluster, sshd: SSHServer) -> ComputeTarget:
        place = {"workdir": str(tmp_path / "jobs"), "python": sys.executable, "conf": str(slurm.conf)}
        yield SlurmTarget.from_config("cluster", {"type": "slurm", **sshd.settings, **place}, tmp_path)
        slurm.run("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}", check=False)
