"""Data that the job's own machine moves: with rights that end, seen by nobody, verified before it counts."""

import asyncio
import json
from urllib.parse import unquote

import pytest

from airflow_mlpipe.compute.base import JobState
from airflow_mlpipe.errors import DataError, OutputMissingError, StepFailedError
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.testing.http_proxy import HttpProxy, Reply
from airflow_mlpipe.workspace import workspace_from_mapping
from tests.execution.conftest import command_step

COPY = "cat ${{inputs.raw}}/a.csv ${{inputs.raw}}/deep/b.csv > ${{outputs.model}}/m.txt; echo sorted"
RAW = "azureml://datastores/workspaceblobstore/paths/raw/"


@pytest.fixture
def proxy(azurite):
    with HttpProxy(azurite.account_url.rpartition("/")[0]) as proxy:
        yield proxy


everywhere = pytest.mark.parametrize("config", ["ssh", "ray"], indirect=True)


@pytest.fixture
def config(request, tmp_path):
    """What the workspace says of a target whose jobs move their data; over SSH unless a test wants more."""
    common = {"workdir": str(tmp_path / "far"), "moves_data": True}
    if getattr(request, "param", "ssh") == "ssh":
        return {"type": "ssh", **request.getfixturevalue("sshd").settings, **common}
    server = request.getfixturevalue("ray_server")
    token = {"token": Secret(server.token), "python": str(server.python)}
    return {"type": "ray", "address": server.address, **token, **common}


@pytest.fixture
def workspace(config, azurite, proxy, tmp_path):
    blob = azurite.settings(azurite.make_container(), azurite.credential)
    blob |= {"account_url": f"{proxy.address}/{azurite.account}"}
    settings = {"datastores": {"workspaceblobstore": blob}, "compute": {"local": config}}
    workspace = workspace_from_mapping(settings, tmp_path)
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a.csv").write_text("1\n")
    (source / "deep" / "b.csv").write_text("2\n")
    workspace.datastore().upload(source, "raw")
    return workspace


def step(command=COPY, **more):
    return command_step(command=command, inputs={"raw": {"type": "uri_folder", "path": RAW}}, **more)


def submitted(workspace, what, run):
    ticket = begin(workspace, what, run, 0)
    target = workspace.compute(ticket.handle.target)
    status, _ = asyncio.run(watch(target, ticket.handle, Polling(0.1)))
    return ticket, status


def data_paths(proxy, word, method):
    return [asked.path for asked, _ in proxy.journal if asked.method == method and word in asked.path]


@everywhere
def test_inputs_and_outputs_do_not_pass_through_the_worker(workspace, proxy, azurite, new_run, tmp_path):
    ticket, status = submitted(workspace, step(), new_run("r1"))
    assert status.state is JobState.SUCCEEDED, status
    fetched = [path for path in data_paths(proxy, ".csv", "GET") if "restype=container" not in path]
    assert sorted(path.partition("/raw/")[2].partition("?")[0] for path in fetched) == ["a.csv", "deep/b.csv"]
    assert all("sp=r&" in path for path in fetched)
    sent = [path for path in data_paths(proxy, "/m.txt", "PUT") if "sp=c&" in path]
    assert len(sent) == 1
    record = finish(workspace, step(), new_run("r1"), ticket, status)
    assert len(data_paths(proxy, "/m.txt", "PUT")) == 1
    ref = record.outputs["model"]
    workspace.datastore().download(ref.path, tmp_path / "copy")
    assert (tmp_path / "copy" / "m.txt").read_text() == "1\n2\n"
    again = begin(workspace, step(), new_run("r2"), 0)
    assert (again.decision, again.outputs) == ("reused", record.outputs)
    hidden(workspace, proxy, azurite, tmp_path)


def hidden(workspace, proxy, azurite, tmp_path):
    """Check that no right and no key is in any file, of the job or of the records."""
    signatures = {unquote(path.partition("sig=")[2].partition("&")[0]) for path in data_paths(proxy, "sig=", "GET")}
    signatures |= {path.partition("sig=")[2].partition("&")[0] for path in data_paths(proxy, "sig=", "PUT")}
    assert len(signatures) > 2
    secrets = [text.encode() for text in (*signatures, azurite.key)]
    places = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    store = workspace.datastore()
    places += [store.read(key) or b"" for key in store.keys("")]
    assert len(places) > 10
    assert [secret for secret in secrets if any(secret in place for place in places)] == []


def test_a_script_does_not_find_the_rights(workspace, new_run):
    look = "ls -a ..; env; cat ../*.json ../../*/*.json; cat /proc/$PPID/cmdline; cat /proc/$PPID/environ"
    ticket, status = submitted(workspace, step(f"{look}; touch ${{{{outputs.model}}}}/m"), new_run())
    assert status.state is JobState.SUCCEEDED
    chunk = asyncio.run(workspace.compute().logs(ticket.handle, None, 1 << 20))
    assert b"spec.json" in chunk.data
    assert b"sig=" not in chunk.data
    assert b"grants" not in chunk.data


@pytest.mark.parametrize(
    ("kind", "path"), [("uri_file", "raw/a.csv"), ("uri_folder", "raw/deep")], ids=["file", "folder"]
)
def test_a_file_keeps_its_name_and_an_output_may_be_a_file(workspace, new_run, kind, path):
    inputs = {"raw": {"type": kind, "path": f"azureml://datastores/workspaceblobstore/paths/{path}"}}
    command = "ls ${{inputs.raw}}; basename ${{inputs.raw}} > ${{outputs.model}}"
    what = command_step(command=command, inputs=inputs, outputs={"model": {"type": "uri_file"}})
    ticket, status = submitted(workspace, what, new_run())
    assert status.state is JobState.SUCCEEDED, status
    record = finish(workspace, what, new_run(), ticket, status)
    assert record.outputs["model"].content.kind == "file"
    assert workspace.datastore().read(record.outputs["model"].path) == (b"a.csv\n" if kind == "uri_file" else b"raw\n")


def test_outputs_that_were_changed_on_the_way_do_not_count(workspace, new_run):
    ticket, status = submitted(workspace, step(), new_run())
    (path,) = [key for key in workspace.datastore().keys("") if key.endswith("/m.txt")]
    workspace.datastore().replace(path, b"1\n3\n")
    with pytest.raises(DataError, match="not what the job left"):
        finish(workspace, step(), new_run(), ticket, status)


def test_an_output_that_was_not_written_is_named(workspace, new_run):
    ticket, status = submitted(workspace, step("true"), new_run())
    with pytest.raises(OutputMissingError, match="wrote nothing to its output 'model'"):
        finish(workspace, step("true"), new_run(), ticket, status)


@pytest.mark.parametrize(("method", "words"), [("GET", "cannot be started"), ("PUT", "cannot be handed over")])
def test_data_that_cannot_be_moved_fails_the_job_with_a_reason(workspace, proxy, new_run, method, words):
    def rule(asked):
        return Reply(403) if asked.method == method and "sig=" in asked.path else None

    proxy.rule = rule
    ticket, status = submitted(workspace, step(), new_run())
    assert status.state is JobState.FAILED
    assert words in status.message
    assert "Azure refuses the signature" in status.message
    assert "sig=" not in status.message
    with pytest.raises(StepFailedError):
        finish(workspace, step(), new_run(), ticket, status)


@everywhere
def test_a_job_can_be_cancelled_while_its_data_moves(workspace, proxy, new_run, wait_until):
    proxy.rule = lambda asked: Reply(503) if asked.method == "GET" and "sp=r&" in asked.path else None

    async def case():
        target = workspace.compute(ticket.handle.target)
        await asyncio.to_thread(wait_until, lambda: data_paths(proxy, "sp=r&", "GET"))
        assert (await target.status([ticket.handle]))[0].state is JobState.RUNNING
        await target.cancel(ticket.handle, 5)
        assert (await target.status([ticket.handle]))[0].state is JobState.CANCELLED

    ticket = begin(workspace, step(), new_run(), 0)
    asyncio.run(case())


def test_replies_that_are_lost_on_the_way_cost_a_repetition(workspace, proxy, new_run):
    lost = {"GET": 1, "PUT": 1}

    def rule(asked):
        if "sig=" in asked.path and lost.get(asked.method):
            lost[asked.method] -= 1
            return "lose"
        return None

    proxy.rule = rule
    ticket, status = submitted(workspace, step(), new_run())
    assert status.state is JobState.SUCCEEDED, status
    assert lost == {"GET": 0, "PUT": 0}
    assert finish(workspace, step(), new_run(), ticket, status).outputs["model"].content.files == 1


def test_with_a_signature_of_somebody_elses_the_worker_copies(azurite, proxy, config, tmp_path, new_run):
    from datetime import datetime, timedelta, timezone

    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    container = azurite.make_container()
    allowed = ContainerSasPermissions(read=True, write=True, list=True, create=True, add=True, delete=True)
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    sas = generate_container_sas(azurite.account, container, account_key=azurite.key, permission=allowed, expiry=until)
    blob = azurite.settings(container, {"sas_token": Secret(sas)})
    settings = {"datastores": {"workspaceblobstore": blob}, "compute": {"local": config}}
    workspace = workspace_from_mapping(settings, tmp_path)
    workspace.datastore().replace("raw/a.csv", b"1\n")
    workspace.datastore().replace("raw/deep/b.csv", b"2\n")
    ticket, status = submitted(workspace, step(), new_run())
    assert status.state is JobState.SUCCEEDED, status
    assert finish(workspace, step(), new_run(), ticket, status).outputs["model"].content.size == 4
    spec = next((tmp_path / "far").glob("*/spec.json")).read_text()
    assert sas not in json.dumps(spec)
