"""The contract suite over a real Ray cluster that shares nothing with this machine but a store."""

import pytest

from airflow_mlpipe.compute.job_parts import Carried
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.testing.compute_target import ComputeTargetContract
from airflow_mlpipe.workspace import workspace_from_mapping

_SECONDS = 3600.0


class TestRayStoreTarget(ComputeTargetContract):
    @pytest.fixture
    def workspace(self, ray_server, azurite, tmp_path):
        blob = azurite.settings(azurite.make_container(), azurite.credential)
        cluster = {"type": "ray", "address": ray_server.address, "token": Secret(ray_server.token)}
        cluster |= {"python": str(ray_server.python), "node_workdir": str(tmp_path / "node")}
        settings = {"datastores": {"workspaceblobstore": blob}, "compute": {"local": cluster}}
        return workspace_from_mapping(settings, tmp_path)

    @pytest.fixture
    def target(self, workspace):
        self.store = workspace.datastore()
        return workspace.compute()

    def carry(self, target, key, port, here, *, output=False):
        place = target.seen_as(key, "output" if output else "input", port, here)
        is_file = here.suffix != ""
        if output:
            right = self.store.grant_create(port, _SECONDS, is_file=is_file)
            return Carried(port, "output", here, place, is_file=is_file, remote=right)
        path = f"{port}/{here.name}"
        self.store.upload(here, path)
        right = self.store.grant_read(path, None, _SECONDS)
        there = f"{place}/{right.files[0].path}" if is_file else place
        return Carried(port, "input", here, there, is_file=is_file, remote=right)

    async def bring(self, target, handle, carried):
        left = await target.left_behind(handle)
        for item in carried:
            if item.role == "output" and left.get(item.port):
                self.store.adopt(item.port, left[item.port])
                if not item.here.exists():
                    self.store.download(item.port, item.here)
