"""The SSH target where the contract cannot look: broken networks, restarts, strange hosts."""

import asyncio
import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobState
from airflow_mlpipe.compute.far_side import processes
from airflow_mlpipe.compute.far_side.job_folder import JobFolder
from airflow_mlpipe.compute.far_side.records import put_new
from airflow_mlpipe.compute.job_parts import Carried
from airflow_mlpipe.compute.job_payload import launcher_spec
from airflow_mlpipe.compute.ssh.host import close_hosts
from airflow_mlpipe.compute.ssh.target import SSHTarget
from airflow_mlpipe.errors import ConfigError, DataError, TransientComputeError
from airflow_mlpipe.testing.jobs import alive, unique_key, until, wait_for, whole_log
from airflow_mlpipe.testing.sshd import SSHServer
from airflow_mlpipe.testing.tcp_proxy import TcpProxy
from airflow_mlpipe.testing.trees import contents, fill

KEY = "mlp-far"
HANDLE = JobHandle("box", KEY, KEY)
ROUNDS = int(os.environ.get("MLPIPE_SOAK_ROUNDS", "12"))


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "far"
    yield folder
    close_hosts()
    for spec in folder.glob("[a-z]*/spec.json"):
        JobFolder(folder.resolve(), spec.parent.name).force_end()


def box(server, folder, **further):
    config = {"type": "ssh", **server.settings, "workdir": str(folder), **further}
    return SSHTarget.from_config("box", config, folder.parent)


@pytest.fixture
def target(sshd, workdir):
    return box(sshd, workdir)


@pytest.fixture
def proxy(sshd):
    with TcpProxy(sshd.port) as proxy:
        yield proxy


@pytest.fixture
def shaky(sshd, proxy, workdir):
    """A target behind the proxy."""
    names = sshd.known_hosts.with_name("known_by_proxy")
    names.write_text(sshd.known_hosts.read_text().replace(f":{sshd.port}", f":{proxy.port}"))
    return box(sshd, workdir, port=proxy.port, known_hosts=str(names))


def starts(workdir):
    journal = workdir / "submissions.jsonl"
    return [json.loads(line)["key"] for line in journal.read_text().splitlines()] if journal.exists() else []


def status(target, handle=HANDLE):
    return asyncio.run(target.status([handle]))[0]


def carried_output(target, key, here):
    return Carried("out", "output", here, target.seen_as(key, "output", "out", here), is_file=False)


def test_a_reply_lost_after_it_was_done_starts_nothing_twice(shaky, proxy, workdir):
    seed = int(time.time())
    moments = random.Random(seed)

    async def case():
        await shaky.find(KEY)
        keys = [unique_key() for _ in range(ROUNDS)]
        for key in keys:
            proxy.lose_replies_after(moments.randrange(0, 400))
            handle = await shaky.submit(JobSpec("echo once"), key)
            assert (await wait_for(shaky, handle)).state is JobState.SUCCEEDED, f"seed {seed}"
            assert await whole_log(shaky, handle) == b"once\n", f"seed {seed}"
        return keys

    keys = asyncio.run(case())
    assert sorted(starts(workdir)) == sorted(keys), f"seed {seed}"
    assert proxy.connections > 1


def test_a_job_and_its_log_survive_a_network_that_breaks_again_and_again(shaky, proxy):
    lines = "".join(f"line {number}\n" for number in range(60)).encode()

    async def case():
        handle = await shaky.submit(JobSpec("for n in $(seq 0 59); do echo line $n; sleep 0.1; done"), KEY)
        data, cursor = b"", None
        while True:
            chunk = await again(functools.partial(shaky.logs, handle, cursor))
            data, cursor = data + chunk.data, chunk.cursor
            if chunk.eof:
                return data
            if chunk.data:
                await asyncio.to_thread(proxy.reset)

    assert asyncio.run(case()) == lines
    assert proxy.connections > 3
    assert status(shaky).state is JobState.SUCCEEDED


def test_data_is_complete_although_the_network_breaks_while_it_moves(shaky, proxy, tmp_path):
    source, here = tmp_path / "source", tmp_path / "here"
    fill(source)
    (source / "huge").write_bytes(random.Random(1).randbytes(24 * 1024 * 1024))
    there = shaky.seen_as(KEY, "input", "data", source)
    carried = [Carried("data", "input", source, there, is_file=False), carried_output(shaky, KEY, here)]
    spec = JobSpec('cp -r "$IN/." "$OUT"', {"IN": there, "OUT": carried[1].there}, carried=carried)
    spec = JobSpec(spec.command, spec.variables, folders=[carried[1].there], carried=carried)

    async def case():
        await shaky.find(KEY)
        breaker = asyncio.ensure_future(asyncio.to_thread(break_a_few_times, proxy))
        handle = await again(lambda: shaky.submit(spec, KEY))
        assert (await wait_for(shaky, handle)).state is JobState.SUCCEEDED
        await breaker
        breaker = asyncio.ensure_future(asyncio.to_thread(break_a_few_times, proxy))
        await again(lambda: shaky.collect(handle, carried))
        await breaker

    asyncio.run(case())
    assert contents(here) == contents(source)


def break_a_few_times(proxy):
    for pause in (0.05, 0.1, 0.2):
        time.sleep(pause)
        proxy.reset()


async def again(work):
    for _ in range(100):
        with contextlib.suppress(TransientComputeError):
            return await work()
    raise AssertionError("the host did not come back")


def test_a_host_that_is_away_is_a_transient_error_that_names_it(shaky, proxy, monkeypatch):
    monkeypatch.setattr("airflow_mlpipe.compute.ssh.host._PATIENCE", 1.0)
    asyncio.run(shaky.find(KEY))
    proxy.refuse()
    proxy.reset()
    with pytest.raises(TransientComputeError, match=r"compute box: .*127\.0\.0\.1.* cannot be reached now"):
        asyncio.run(shaky.status([HANDLE]))
    proxy.refuse(False)
    assert asyncio.run(again(lambda: shaky.status([HANDLE])))[0].state is JobState.LOST


def test_a_host_that_says_nothing_counts_as_away(shaky, proxy, monkeypatch):
    monkeypatch.setattr("airflow_mlpipe.compute.ssh.host._PATIENCE", 1.0)
    asyncio.run(shaky.find(KEY))
    host = asyncio.run(shaky.place._host())
    proxy.stall()

    async def case():
        with pytest.raises(TransientComputeError):
            await asyncio.wait_for(host.call("settle", 0.2, keys=[KEY]), 60)

    monkeypatch.setattr("airflow_mlpipe.compute.ssh.link._HELLO_PATIENCE", 0.5)
    asyncio.run(case())
    monkeypatch.undo()
    proxy.flow()
    assert asyncio.run(again(lambda: shaky.find(KEY))) is None


def test_a_job_survives_a_restart_of_the_ssh_server(tmp_path, workdir):
    with SSHServer(tmp_path / "sshd") as server:
        target = box(server, workdir)

        async def case():
            handle = await target.submit(JobSpec("echo begun; sleep 1; echo done"), KEY)
            await until(target, handle, lambda data: b"begun" in data)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            return await wait_for(target, handle), await whole_log(target, handle)

        ended, log = asyncio.run(case())
    assert (ended.state, log) == (JobState.SUCCEEDED, b"begun\ndone\n")
    assert starts(workdir) == [KEY]


def test_a_launcher_that_was_killed_is_a_lost_job_with_nothing_left(target, workdir):
    async def case():
        handle = await target.submit(JobSpec("sleep 300 & echo $!; wait"), KEY)
        pid = int((await until(target, handle, lambda data: b"\n" in data)).split()[0])
        os.kill(json.loads((workdir / KEY / "claim.json").read_text())["pid"], signal.SIGKILL)
        return pid, await wait_for(target, handle)

    pid, ended = asyncio.run(case())
    assert ended.state is JobState.LOST
    assert not alive(pid)
    asyncio.run(target.submit(JobSpec("echo again"), KEY))
    assert starts(workdir) == [KEY]


def staged(workdir, **claim):
    workdir.mkdir(exist_ok=True)
    job = JobFolder(workdir.resolve(), KEY)
    with job.lock():
        job.stage(launcher_spec(JobSpec("true"), sys.executable, waits=False), sys.executable, lambda folder: None)
    assert put_new(job.path / "claim.json", claim)
    return job


def test_a_process_number_that_is_somebody_elses_is_neither_adopted_nor_killed(target, workdir):
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as stranger:
        try:
            start = int(processes.process(stranger.pid).start) - 1
            staged(workdir, pid=stranger.pid, start=str(start), **processes.here())
            asyncio.run(target.cancel(HANDLE, 0))
            assert status(target).state is JobState.LOST
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_job_of_another_boot_is_lost_once_its_heart_has_stopped(target, workdir):
    own = processes.process(os.getpid())
    job = staged(workdir, pid=os.getpid(), start=own.start, **{**processes.here(), "boot_id": "another"})
    assert status(target).state is JobState.RUNNING
    os.utime(job.path / "claim.json", (0, 0))
    assert status(target).state is JobState.LOST


def test_a_zombie_is_a_lost_job(target, workdir):
    with subprocess.Popen(["sleep", "300"]) as child:
        start = processes.process(child.pid).start
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        staged(workdir, pid=child.pid, start=start, **processes.here())
        assert status(target).state is JobState.LOST


def test_one_connection_and_one_agent_serve_every_event_loop_and_target(shaky, proxy, sshd, workdir):
    others = [box(sshd, workdir, port=proxy.port, known_hosts=shaky.place.settings.known_hosts.as_posix())]
    for each in [shaky, *others, shaky]:
        assert asyncio.run(each.find(KEY)) is None
        assert asyncio.run(each.find(KEY)) is None
    assert proxy.connections == 1
    assert others[0].endpoint == shaky.endpoint


def test_a_hundred_jobs_are_asked_about_in_one_round_trip(target):
    async def case():
        host = await target.place._host()
        handle = await target.submit(JobSpec("true"), KEY)
        await wait_for(target, handle)
        asked = []
        original = host.call
        host.call = lambda *args, **named: asked.append(args) or original(*args, **named)
        assert len(await target.status([handle] * 100)) == 100
        return asked

    assert len(asyncio.run(case())) == 1


def test_a_fork_makes_a_connection_of_its_own(target):
    asyncio.run(target.find(KEY))
    child = os.fork()
    if child == 0:
        code = 9
        try:
            code = 0 if asyncio.run(target.find(KEY)) is None else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(target.find(KEY)) is None


@pytest.mark.parametrize(
    "outputs",
    [
        {"out": {"../../escaped": [1, "x"]}},
        {"out": {"/etc/escaped": [1, "x"]}},
        {"out": {"a/./b": [1, "x"]}},
        {"out": {"a\0b": [1, "x"]}},
        {"out": {"a": "x"}},
        {"out": {"a": [1]}},
        {"out": []},
        [],
        None,
        {"out": {"a": [1, "0" * 64]}},
        {"out": {"gone": [1, "0" * 64]}},
    ],
)
def test_what_a_job_claims_of_its_outputs_is_not_believed(target, workdir, tmp_path, outputs):
    here = tmp_path / "here" / "inner"
    out = carried_output(target, KEY, here)

    async def case():
        handle = await target.submit(JobSpec(f"echo 1 > {out.there}/a", folders=[out.there], carried=[out]), KEY)
        await wait_for(target, handle)
        (workdir / KEY / "outputs.json").write_text(json.dumps(outputs))
        with pytest.raises(DataError):
            await target.collect(handle, [out])

    asyncio.run(case())
    assert [path.name for path in tmp_path.rglob("*escaped*")] == []


def test_an_output_that_leads_out_of_its_folder_fails_the_job(target, tmp_path):
    out = carried_output(target, KEY, tmp_path / "here")

    async def case():
        handle = await target.submit(
            JobSpec(f"ln -s /etc/passwd {out.there}/a", folders=[out.there], carried=[out]), KEY
        )
        return await wait_for(target, handle)

    ended = asyncio.run(case())
    assert ended.state is JobState.FAILED
    assert "leads out of its folder" in ended.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "/no/such/python"}, "needs Python 3.8 or later"),
        ({"python": "/bin/false"}, "ended with exit code 1"),
        ({"workdir": "/proc/nothing"}, "cannot be made or written"),
        ({"workdir": "relative"}, "absolute path"),
        ({"workdir": "/a/../b"}, "absolute path"),
        ({"shares_files": "yes"}, "true and false"),
        ({"wrkdir": "/x"}, "Did you mean 'workdir'"),
        ({"conn_id": "box"}, "only Airflow can read"),
    ],
)
def test_what_cannot_work_is_one_sentence(sshd, workdir, change, words):
    with pytest.raises(ConfigError, match=words) as caught:
        asyncio.run(box(sshd, workdir, **change).find(KEY))
    assert "BEGIN" not in str(caught.value)


def test_a_host_with_another_key_gets_nothing(sshd, workdir, tmp_path):
    other = tmp_path / "known_hosts"
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    other.write_text(f"[127.0.0.1]:{sshd.port} {key.with_suffix('.pub').read_text()}")
    with pytest.raises(ConfigError, match="host key"):
        asyncio.run(box(sshd, workdir, known_hosts=str(other)).submit(JobSpec("true"), KEY))
    assert not workdir.exists()


def test_a_damaged_far_side_is_sent_again(target, workdir):
    asyncio.run(target.find(KEY))
    (program,) = workdir.glob("mlpipe-*.pyz")
    good = program.read_bytes()
    close_hosts()
    program.write_bytes(good[:-1] + b"x")
    assert asyncio.run(target.find(KEY)) is None
    assert Path(program).read_bytes() == good


def test_a_login_that_chatters_does_no_harm(sshd, workdir, tmp_path):
    noisy = tmp_path / "noisy"
    noisy.write_text(f'#!/bin/sh\necho hello there; echo "{{}}"; echo warning >&2\nexec {sys.executable} "$@"\n')
    noisy.chmod(0o755)
    target = box(sshd, workdir, python=str(noisy))
    assert asyncio.run(target.find(KEY)) is None
