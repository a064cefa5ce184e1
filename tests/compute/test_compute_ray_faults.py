"""Ray when things go wrong: lost replies, strange answers, jobs that wait for ever, a head that forgets."""

import asyncio
import json
import os
import random
import subprocess
from collections import Counter
from contextlib import suppress

import pytest

from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobState
from airflow_mlpipe.compute.job_parts import Distribution, JobResources
from airflow_mlpipe.errors import SubmitRejectedError, TransientComputeError
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.testing.http_proxy import LOSE, REFUSE, HttpProxy, Reply
from airflow_mlpipe.testing.jobs import alive, unique_key, until, wait_for, whole_log
from tests.compute.test_compute_ray_contract import ray_target

NEVER = JobSpec("echo started", resources=JobResources(gpus=1))
"""Waits for ever: the cluster of the tests has no GPU."""

STRANGE = [
    *(Reply(200, body) for body in (b"", b" ", b"null", b"[]", b"{}", b"true", b"0", b'"RUNNING"', b"NaN", b"{")),
    *(Reply(200, body) for body in (b"<html><body>Sign in</body></html>", b"\xff\xfe\x00", b"OK", b"[" * 9999)),
    *(
        Reply(200, json.dumps({"status": word}).encode())
        for word in (None, "", " ", "succeeded", "Succeeded", "failed", "SUCCEEDED ", "DONE", "UNKNOWN", "LOST", "0")
    ),
    *(Reply(200, json.dumps({"status": word}).encode()) for word in (0, 1, True, [], {}, ["FAILED"], {"a": 1}, 1e300)),
    *(Reply(200, json.dumps(body).encode()) for body in ({"state": "FAILED"}, {"Status": "FAILED"}, ["FAILED"])),
    *(Reply(code) for code in (201, 202, 204, 206, 300, 304, 400, 401, 403, 405, 409, 410, 418, 500, 501, 502, 504)),
    *(Reply(code, b"", {"Location": "http://127.0.0.1:9/"}) for code in (301, 302, 307)),
    *(Reply(429, b"", {"Retry-After": pause}) for pause in ("7", "soon", "-1", "Fri, 31 Dec 2100 23:59:59 GMT", "")),
    Reply(503, b"<html>busy</html>", {"Retry-After": "3"}),
]  # fmt: skip


def jobs_in(server):
    """Every job that Ray knows: submission id to how often it is there."""
    return Counter(job["submission_id"] for job in json.loads(server.request("GET", "/api/jobs/")[1]))


def posts(proxy, *statuses):
    """How often each job was posted, of those requests that Ray answered like this."""
    return Counter(
        json.loads(asked.body)["submission_id"]
        for asked, status in proxy.journal
        if (asked.method, asked.path) == ("POST", "/api/jobs/") and status in statuses
    )


@pytest.fixture
def proxy(ray_server):
    with HttpProxy(ray_server.address) as proxy:
        yield proxy


@pytest.fixture
def target(ray_server, proxy, tmp_path):
    return ray_target(ray_server, tmp_path / "jobs", address=proxy.address)


async def submitted(target, spec, key):
    """Submit as a worker does that is asked again and again."""
    handle = None
    while handle is None:
        with suppress(TransientComputeError):
            handle = await target.submit(spec, key)
        await asyncio.sleep(0.01)
    return handle


async def looked(target, handle):
    """Return the status of a job, or why it is not known now."""
    try:
        return (await target.status([handle]))[0]
    except TransientComputeError as error:
        return str(error)


def test_a_reply_lost_after_commit_100_times_makes_no_duplicate(ray_server, proxy, target):
    chance = random.Random(100)
    commits = Counter()

    def rule(asked):
        if asked.method == "POST" and asked.path == "/api/jobs/":
            name = json.loads(asked.body)["submission_id"]
            commits[name] += 1
            return LOSE if commits[name] == 1 else chance.choice([LOSE, REFUSE, None])
        return REFUSE if asked.method == "GET" and chance.random() < 0.3 else None

    proxy.rule = rule
    keys = [unique_key() for _ in range(100)]

    async def case():
        gate = asyncio.Semaphore(8)

        async def one(key):
            async with gate:
                assert await submitted(target, NEVER, key) == target._handle(key)
                assert await submitted(target, NEVER, key) == target._handle(key)

        await asyncio.gather(*(one(key) for key in keys))
        proxy.rule = lambda _asked: None
        known = jobs_in(ray_server)
        assert [key for key in keys if known[target._id(key)] != 1] == []
        taken = posts(proxy, 200)
        assert [key for key in keys if taken[target._id(key)] != 1] == []
        handles = [target._handle(key) for key in keys]
        assert {status.state for status in await target.status(handles)} == {JobState.QUEUED}
        await asyncio.gather(*(target.cancel(handle, 0) for handle in handles))
        assert {status.state for status in await target.status(handles)} == {JobState.CANCELLED}

    asyncio.run(case())


def test_replies_lost_around_a_job_that_runs_start_it_once(proxy, target):
    lost = iter([LOSE, REFUSE, LOSE, None])
    proxy.rule = lambda asked: next(lost, None) if asked.path == "/api/jobs/" else None

    async def case():
        handles = [await submitted(target, JobSpec("echo ran"), key) for key in [unique_key()] * 4]
        assert (await wait_for(target, handles[0])).state is JobState.SUCCEEDED
        assert await whole_log(target, handles[0]) == b"ran\n"

    asyncio.run(case())
    assert len((target.place.workdir / "submissions.jsonl").read_text().splitlines()) == 1


def test_two_workspaces_on_one_cluster_do_not_take_up_each_others_jobs(ray_server, tmp_path):
    key = unique_key()

    async def case():
        targets = [ray_target(ray_server, tmp_path / name) for name in ("one", "two")]
        handles = [await t.submit(JobSpec(f"echo {t.place.workdir.name}"), key) for t in targets]
        for target, handle in zip(targets, handles, strict=True):
            assert (await wait_for(target, handle)).state is JobState.SUCCEEDED
            assert await whole_log(target, handle) == f"{target.place.workdir.name}\n".encode()

    asyncio.run(case())


def test_strange_answers_are_neither_an_end_nor_a_reason_to_submit_again(proxy, target):
    assert len(STRANGE) >= 60

    async def case():
        handle = await target.submit(NEVER, unique_key())
        before = len(proxy.asked("POST"))
        for reply in STRANGE:
            proxy.rule = lambda asked, reply=reply: reply if asked.method == "GET" else None
            said = await looked(target, handle)
            assert isinstance(said, str) or not said.state.is_terminal, (reply, said)
            assert "Traceback" not in str(said)
            assert target.settings.token.reveal() not in str(said)
            with_others = await target.status([handle, JobHandle(target.name, "unknown", "unknown")])
            assert [status.state.is_terminal for status in with_others] == [False, True], reply
        assert len(proxy.asked("POST")) == before
        proxy.rule = lambda _asked: None
        assert (await target.status([handle]))[0].state is JobState.QUEUED
        await target.cancel(handle, 0)

    asyncio.run(case())


@pytest.mark.parametrize(("header", "pause"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("9999999", 300.0)])
def test_a_cluster_that_asks_to_wait_is_heard(proxy, target, header, pause):
    proxy.rule = lambda asked: Reply(429, b"slow down", {"Retry-After": header}) if asked.method == "GET" else None
    with pytest.raises(TransientComputeError, match="HTTP 429: slow down") as caught:
        asyncio.run(target.client.job("any"))
    assert caught.value.retry_after == pause


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (
            Reply(500, b"No available agent to submit job, please try again later."),
            TransientComputeError,
            "No available",
        ),
        (Reply(503, b""), TransientComputeError, "503"),
        (Reply(401, b""), TransientComputeError, "refuses the token"),
        (Reply(400, b"TypeError: unexpected keyword argument 'x'"), SubmitRejectedError, "unexpected keyword"),
        (REFUSE, TransientComputeError, "cannot be reached"),
    ],
)
def test_what_a_refused_submit_means(proxy, target, reply, error, words):
    key = unique_key()
    proxy.rule = lambda asked: reply if asked.method == "POST" else None
    with pytest.raises(error, match=words):
        asyncio.run(target.submit(NEVER, key))
    assert asyncio.run(target.find(key)) is None


def test_a_wrong_token_is_named_and_not_shown(ray_server, tmp_path):
    target = ray_target(ray_server, tmp_path, token=Secret("x" * 64))
    with pytest.raises(TransientComputeError, match="refuses the token") as caught:
        asyncio.run(target.submit(JobSpec("true"), unique_key()))
    assert "x" * 64 not in str(caught.value)


def test_a_job_that_waits_is_cancelled_although_ray_would_start_it_later(ray_server, target):
    async def case():
        handle = await target.submit(NEVER, unique_key())
        assert (await target.status([handle]))[0].state is JobState.QUEUED
        await target.cancel(handle, 0)
        assert (await target.status([handle]))[0].state is JobState.CANCELLED
        return handle

    handle = asyncio.run(case())
    status, text = ray_server.request("GET", f"/api/jobs/{handle.external_id}")
    assert status == 200
    late = subprocess.run(["bash", "-c", json.loads(text)["entrypoint"]], capture_output=True, text=True, timeout=60)
    assert (late.returncode, late.stderr) == (0, "taken")
    assert not (target.place.workdir / "submissions.jsonl").exists()
    assert asyncio.run(target.status([handle]))[0].state is JobState.CANCELLED


def test_a_launcher_that_cannot_start_fails_the_job_with_rays_words(ray_server, tmp_path):
    target = ray_target(ray_server, tmp_path / "jobs", python="/no/such/python")

    async def case():
        handle = await target.submit(JobSpec("true"), unique_key())
        status = await wait_for(target, handle)
        assert (status.state, status.exit_code) == (JobState.FAILED, None)
        assert "/no/such/python" in status.message
        assert await whole_log(target, handle) == b""

    asyncio.run(case())


def test_a_job_that_ray_does_not_know_is_lost_after_a_while(proxy, target):
    proxy.rule = lambda asked: Reply(200, b"{}") if asked.method == "POST" else None

    async def case():
        handle = await target.submit(JobSpec("echo late"), unique_key())
        assert (await target.status([handle]))[0].state is JobState.QUEUED
        os.utime(target.place.workdir / handle.key / "spec.json", (1, 1))
        (status,) = await target.status([handle])
        assert status.state is JobState.LOST
        assert "does not know the job" in status.message
        assert (await target.status([handle]))[0] == status

    asyncio.run(case())


def test_after_a_restart_of_the_head_what_ended_is_known_and_what_ran_is_lost(ray_server, tmp_path):
    target = ray_target(ray_server, tmp_path / "jobs")

    async def before():
        ended = await target.submit(JobSpec("echo done; exit 3"), unique_key())
        await wait_for(target, ended)
        running = await target.submit(JobSpec("echo $$; sleep 300"), unique_key())
        pid = int(await until(target, running, lambda data: b"\n" in data))
        waiting = await target.submit(NEVER, unique_key())
        return ended, running, waiting, pid

    ended, running, waiting, pid = asyncio.run(before())
    ray_server.stop()
    with pytest.raises(TransientComputeError, match="cannot be reached"):
        asyncio.run(target.status([waiting]))
    states = [status.state for status in asyncio.run(target.status([ended, running, waiting]))]
    assert states == [JobState.FAILED, JobState.LOST, JobState.QUEUED]
    assert not alive(pid)
    ray_server.start()
    assert asyncio.run(target.status([ended]))[0].exit_code == 3
    assert asyncio.run(whole_log(target, ended)) == b"done\n"
    os.utime(tmp_path / "jobs" / waiting.key / "spec.json", (1, 1))
    assert asyncio.run(target.status([waiting]))[0].state is JobState.LOST
    assert ray_server.request("GET", f"/api/jobs/{ended.external_id}")[0] == 404


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (JobResources(instance_count=2), "instance_count is 2"),
        (JobResources(distribution=Distribution("mpi")), "cannot start a job as 'mpi'"),
        (JobResources(instance_count=2, distribution=Distribution("pytorch", 4)), "'pytorch'"),
    ],
)
def test_what_one_ray_job_cannot_have_is_refused(target, resources, words):
    key = unique_key()
    with pytest.raises(SubmitRejectedError, match=words):
        asyncio.run(target.submit(JobSpec("true", resources=resources), key))
    assert asyncio.run(target.find(key)) is None


def test_a_script_reaches_the_cluster_only_when_it_says_that_it_will(ray_server, target):
    script = "import ray; ray.init(); print(sum(ray.get([ray.remote(lambda i: i * i).remote(i) for i in range(4)])))"
    spec = JobSpec(
        'python -W ignore "$MLPIPE_JOB_DIR/s.py" 2>/dev/null',
        files={"s.py": script},
        resources=JobResources(cpus=1, memory=100 << 20, instance_count=2, distribution=Distribution("ray")),
    )

    async def case():
        ray = await target.submit(spec, unique_key())
        plain = await target.submit(JobSpec("env | grep -c ^RAY_; true"), unique_key())
        assert (await wait_for(target, ray)).state is JobState.SUCCEEDED
        assert await whole_log(target, ray) == b"14\n"
        assert (await wait_for(target, plain)).state is JobState.SUCCEEDED
        assert await whole_log(target, plain) == b"0\n"

    asyncio.run(case())


def test_many_questions_share_one_session(proxy, target):
    from airflow_mlpipe.compute.http_session import CONNECTIONS_PER_HOST, http_session

    async def case():
        sessions = {id(await http_session("ray")) for _ in range(10)}
        assert len(sessions) == 1
        await asyncio.gather(*(target.client.job(f"none-{number}") for number in range(100)))
        session = await http_session("ray")
        assert len(session.connector._conns) <= CONNECTIONS_PER_HOST
        return session

    assert asyncio.run(case()).closed
    assert len(proxy.asked("GET")) == 100
