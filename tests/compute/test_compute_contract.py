"""The contract suite over the targets that are shipped."""

import pytest

from airflow_mlpipe.compute.far_side.job_folder import JobFolder
from airflow_mlpipe.compute.inline import InlineTarget
from airflow_mlpipe.compute.local import LocalTarget
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
