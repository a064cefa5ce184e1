"""The contract suite over the targets that are shipped."""

import pytest

from airflow_mlpipe.compute.far_side.job_folder import JobFolder
from airflow_mlpipe.compute.inline import InlineTarget
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.compute.ssh.host import close_hosts
from airflow_mlpipe.compute.ssh.target import SSHTarget
from airflow_mlpipe.testing.compute_target import ComputeTargetContract


class TestLocalTarget(ComputeTargetContract):
    @pytest.fixture
    def target(self, tmp_path):
        target = LocalTarget("here", tmp_path / "jobs")
        yield target
        for folder in target.workdir.glob("[a-z]*/spec.json"):
            JobFolder(target.workdir, folder.parent.name).force_end()


class TestInlineTarget(ComputeTargetContract):
    @pytest.fixture
    def target(self):
        target = InlineTarget("inline")
        yield target
        target.close()


@pytest.fixture(scope="class")
def over_ssh(sshd, tmp_path_factory):
    """Return a function that makes a target on the real SSH server."""
    workdir = tmp_path_factory.mktemp("far")

    def make(**further):
        config = {"type": "ssh", **sshd.settings, "workdir": str(workdir), **further}
        return SSHTarget.from_config("box", config, workdir)

    yield make
    close_hosts()
    for spec in workdir.glob("[a-z]*/spec.json"):
        JobFolder(workdir.resolve(), spec.parent.name).force_end()


class TestSSHTarget(ComputeTargetContract):
    @pytest.fixture
    def target(self, over_ssh):
        return over_ssh()


class TestSSHTargetThatSharesFiles(ComputeTargetContract):
    @pytest.fixture
    def target(self, over_ssh):
        return over_ssh(shares_files=True)
