"""Ray without a shared folder: the store is all that the cluster and this machine have in common."""

import asyncio
import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobState
from airflow_mlpipe.compute.far_side import blobs
from airflow_mlpipe.compute.job_parts import JobResources
from airflow_mlpipe.compute.ray.job_records import JobRecords
from airflow_mlpipe.compute.ray.target import RayTarget
from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.environment import EnvironmentDefinition
from airflow_mlpipe.errors import ConfigError, SubmitRejectedError, TransientComputeError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.snapshot import take_snapshot
from airflow_mlpipe.testing.http_proxy import LOSE, HttpProxy
from airflow_mlpipe.testing.jobs import alive, unique_key, until, wait_for, whole_log
from airflow_mlpipe.workspace import workspace_from_mapping
from tests.execution.conftest import command_step

RAW = "azureml://datastores/workspaceblobstore/paths/raw/"
NEVER = JobSpec("echo started", resources=JobResources(gpus=1))


@pytest.fixture
def proxy(ray_server):
    with HttpProxy(ray_server.address) as proxy:
        yield proxy


@pytest.fixture
def workspace(ray_server, proxy, azurite, tmp_path):
    blob = azurite.settings(azurite.make_container(), azurite.credential)
    cluster = {"type": "ray", "address": proxy.address, "token": Secret(ray_server.token)}
    cluster |= {"python": str(ray_server.python), "node_workdir": str(tmp_path / "node")}
    settings = {"datastores": {"workspaceblobstore": blob}, "compute": {"local": cluster}}
    return workspace_from_mapping(settings, tmp_path)


@pytest.fixture
def target(workspace):
    return workspace.compute()


def test_a_step_runs_with_code_and_data_and_nothing_stays_on_the_node(workspace, azurite, proxy, tmp_path):
    store, code = workspace.datastore(), tmp_path / "code"
    code.mkdir()
    (code / "copy.py").write_text("import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)")
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "b.bin").write_bytes(bytes(range(256)) * 400)
    store.upload(source, "raw")
    step = command_step(
        command="python copy.py ${{inputs.raw}} ${{outputs.model}}; echo copied",
        code=str(code),
        inputs={"raw": {"type": "uri_folder", "path": RAW}},
    )
    run = RunInfo("demo", "r1", {}, {}, tmp_path)
    ticket = begin(workspace, step, run, 0)
    lines = []
    status, _ = asyncio.run(watch(workspace.compute(), ticket.handle, Polling(0.2), lines.append))
    assert status.state is JobState.SUCCEEDED, status
    assert lines == ["copied"]
    record = finish(workspace, step, run, ticket, status)
    assert record.outputs["model"].content == store.summary("raw")
    assert begin(workspace, step, RunInfo("demo", "r2", {}, {}, tmp_path), 0).decision == "reused"
    assert list((tmp_path / "node").iterdir()) == []
    requests = b"".join(asked.path.encode() + asked.body for asked, _ in proxy.journal if asked.method != "PUT")
    assert b"sig=" not in requests
    assert azurite.key.encode() not in b"".join(asked.body for asked, _ in proxy.journal)
    assert [key for key in store.keys("") if b"sig=" in (store.read(key) or b"")] == []


def test_exit_code_metrics_and_a_log_to_the_byte(target):
    write = "import random,sys; sys.stdout.buffer.write(random.Random(7).randbytes(5000))"
    metric = """echo '{"name": "auc", "value": 0.7}' > "$MLPIPE_METRICS_FILE" """

    async def case():
        handle = await target.submit(JobSpec(f'python -c "{write}"; {metric}; exit 7'), unique_key())
        assert JobHandle.from_json(handle.to_json()) == handle
        assert await target.find(handle.key) == handle
        status = await wait_for(target, handle)
        assert (status.state, status.exit_code) == (JobState.FAILED, 7)
        assert [metric["value"] for metric in status.metrics] == [0.7]
        for limit in (999, 65536):
            assert await whole_log(target, handle, limit) == random.Random(7).randbytes(5000)
        assert (await target.status([handle]))[0] == status
        await target.forget(handle)
        await check_unknown(target, handle)

    asyncio.run(case())


async def check_unknown(target, handle):
    (status,) = await target.status([handle])
    assert status.state is JobState.LOST
    assert status.message
    chunk = await target.logs(handle)
    assert (chunk.data, chunk.eof) == (b"", True)
    await target.cancel(handle, 0)
    await target.forget(handle)
    assert await target.find(handle.key) is None


@pytest.mark.parametrize("key", ["mlp-never-seen", "../../etc", ""])
def test_a_job_that_nobody_knows_is_lost_and_silent(target, key):
    asyncio.run(check_unknown(target, JobHandle(target.name, key, key)))


def test_output_shows_while_the_job_runs_and_cancel_ends_all_of_it(target, tmp_path):
    command = "trap '' TERM; echo $$; (setsid sh -c 'echo $$; exec sleep 300' &); sleep 300"

    async def case():
        handle = await target.submit(JobSpec(command), unique_key())
        log = await until(target, handle, lambda data: data.count(b"\n") == 2)
        assert (await target.status([handle]))[0].state is JobState.RUNNING
        await target.cancel(handle, 0)
        assert (await wait_for(target, handle)).state is JobState.CANCELLED
        return [int(word) for word in log.split()]

    assert [pid for pid in asyncio.run(case()) if alive(pid)] == []


def test_a_job_that_waits_is_cancelled_and_a_late_launcher_finds_it_taken(target):
    async def case():
        handle = await target.submit(NEVER, unique_key())
        assert (await target.status([handle]))[0].state is JobState.QUEUED
        await asyncio.gather(*(target.cancel(handle, 0) for _ in range(3)))
        assert (await target.status([handle]))[0].state is JobState.CANCELLED
        return target._records(handle.key).rights(60)["claim"]

    assert not blobs.claim(asyncio.run(case()), b"late")


def test_lost_replies_start_a_job_once(proxy, target):
    async def case():
        key = unique_key()
        proxy.rule = lambda asked: LOSE if asked.method in ("POST", "PUT") and len(proxy.journal) < 9 else None
        handle = None
        while handle is None:
            with suppress(TransientComputeError):
                handle = await target.submit(JobSpec("echo ran"), key)
        assert await target.submit(JobSpec("echo again"), key) == handle
        assert (await wait_for(target, handle)).state is JobState.SUCCEEDED
        assert await whole_log(target, handle) == b"ran\n"

    asyncio.run(case())
    taken = [json.loads(a.body) for a, status in proxy.journal if a.path == "/api/jobs/" and status == 200]
    assert len(taken) == 1


def test_what_ray_calls_ended_without_a_record_is_said_once_and_for_all(ray_server, target):
    target.settings = type(target.settings)(**{**vars(target.settings), "python": "/no/such/python"})

    async def case():
        handle = await target.submit(JobSpec("true"), unique_key())
        status = await wait_for(target, handle)
        assert status.state is JobState.FAILED
        assert "/no/such/python" in status.message
        ray_server.request("DELETE", f"/api/jobs/{handle.external_id}")
        assert (await target.status([handle]))[0] == status

    asyncio.run(case())


def test_what_such_a_job_cannot_have_is_refused(target, workspace, ray_server, tmp_path):
    (tmp_path / "landing").mkdir()
    step = command_step(inputs={"raw": {"type": "uri_folder", "path": str(tmp_path / "landing")}})
    (tmp_path / "landing" / "a").touch()
    with pytest.raises(SubmitRejectedError, match=r"input raw: .* shares no folder"):
        begin(workspace, step, RunInfo("demo", "r1", {}, {}, tmp_path), 0)
    environment = EnvironmentDefinition(pip=("attrs",))
    with pytest.raises(SubmitRejectedError, match="no environment can be built"):
        asyncio.run(target.submit(JobSpec("true", environment=environment), unique_key()))
    cluster = {"type": "ray", "address": ray_server.address, "token": Secret(ray_server.token)}
    elsewhere = workspace_from_mapping({"compute": {"local": cluster}}, tmp_path / "other")
    with pytest.raises(ConfigError, match="must be one of type azure_blob"):
        asyncio.run(elsewhere.compute().submit(JobSpec("true"), unique_key()))


def test_code_of_any_size_travels(target, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "large").write_bytes(random.Random(1).randbytes(6 << 20))
    (code / "run.sh").write_text("wc -c < large\n")
    (code / "run.sh").chmod(0o755)
    (code / "link").symlink_to("run.sh")

    async def case():
        handle = await target.submit(JobSpec("./link", code=take_snapshot(code)), unique_key())
        assert (await wait_for(target, handle)).state is JobState.SUCCEEDED
        assert await whole_log(target, handle) == b"6291456\n"

    asyncio.run(case())


def test_without_a_workdir_the_store_is_used(tmp_path):
    target = RayTarget.from_config("cluster", {"type": "ray", "address": "http://127.0.0.1:1"}, tmp_path)
    assert target.capabilities.moves_data
    assert not target.capabilities.shares_files
    assert target.seen_as("k", "input", "raw", tmp_path) == "/tmp/mlpipe-jobs/k/k/inputs/raw"


def test_a_job_is_named_after_the_place_of_its_store_and_not_after_what_people_call_it(azurite):
    place = azurite.settings(azurite.make_container(), azurite.credential)
    other = azurite.settings(azurite.make_container(), azurite.credential)
    stores = [
        AzureBlobDatastore.from_config("workspaceblobstore", place, Path("/")),
        AzureBlobDatastore.from_config("results", place, Path("/")),
        AzureBlobDatastore.from_config("workspaceblobstore", other, Path("/")),
        AzureBlobDatastore.from_config("workspaceblobstore", {**place, "prefix": "team"}, Path("/")),
    ]
    names = [JobRecords(store, "mlp-1").ray_id() for store in stores]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all(name.startswith("mlp-1-") for name in names)
