"""The contract suite over a real Ray cluster that shares a folder with this machine."""

import pytest

from airflow_mlpipe.compute.ray.target import RayTarget
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.testing.compute_target import ComputeTargetContract


def ray_target(server, workdir, **changes):
    settings = {"type": "ray", "address": server.address, "token": Secret(server.token)}
    settings |= {"workdir": str(workdir), "python": str(server.python), **changes}
    return RayTarget.from_config("cluster", settings, workdir)


class TestRayTarget(ComputeTargetContract):
    @pytest.fixture
    def target(self, ray_server, tmp_path):
        return ray_target(ray_server, tmp_path / "jobs")
