"""Slurm when things go wrong: refusals, queues, a controller that dies, lost replies, jobs that it forgot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.compute.base import JobHandle, JobSpec, JobState
from airflow_mlpipe.compute.job_parts import Distribution, JobResources
from airflow_mlpipe.compute.place import Finished
from airflow_mlpipe.compute.slurm import jobs as slurm_jobs
from airflow_mlpipe.compute.slurm.jobs import SlurmJobs
from airflow_mlpipe.compute.slurm.target import SlurmTarget
from airflow_mlpipe.compute.slurm.words import may_pass, opinions
from airflow_mlpipe.errors import ConfigError, SubmitRejectedError, TransientComputeError
from airflow_mlpipe.testing.jobs import alive, unique_key, until, wait_for, whole_log
from airflow_mlpipe.testing.slurm import SlurmCluster

FULL = JobResources(cpus=16)
GIB = 1 << 30


def make(slurm: SlurmCluster, folder: Path, **changes: Any) -> SlurmJobs:
    return SlurmTarget.from_config(
        "cluster", {"type": "slurm", "workdir": "jobs", "conf": str(slurm.conf), **changes}, folder
    )


@pytest.fixture
def target(slurm: SlurmCluster, tmp_path: Path) -> Iterator[SlurmJobs]:
    yield make(slurm, tmp_path)
    slurm.run("scancel", "--full", "--signal=KILL", "--me", check=False)
    slurm.run("scancel", "--me", check=False)


def starts(target: SlurmJobs) -> Counter[str]:
    """How often each command was started."""
    journal = Path(target.place.folder("x")).parent / "submissions.jsonl"
    return (
        Counter(json.loads(line)["key"] for line in journal.read_text().splitlines()) if journal.exists() else Counter()
    )


def launcher_of(target: SlurmJobs, key: str) -> int:
    return int(json.loads(Path(target.place.folder(key), "claim.json").read_text())["pid"])


def claim(target: SlurmJobs, key: str) -> None:
    """Begin to submit, as a process that dies then."""
    Path(target.place.folder(key), "slurm-submit-0").mkdir()


def grow_old(target: SlurmJobs, key: str) -> None:
    """Let two minutes pass for whoever began to submit."""
    for begun in Path(target.place.folder(key)).glob("slurm-submit-*"):
        os.utime(begun, (time.time() - 120,) * 2)


async def state(target: SlurmJobs, handle: JobHandle) -> JobState:
    return (await target.status([handle]))[0].state


async def fill(target: SlurmJobs) -> list[JobHandle]:
    """Take both nodes."""
    filling = [await target.submit(JobSpec("echo on; sleep 300", resources=FULL), unique_key()) for _ in range(2)]
    for handle in filling:
        await until(target, handle, lambda data: b"on" in data)
    return filling


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (JobResources(gpus=9), "Requested node configuration is not available"),
        (JobResources(memory=99 * GIB), "Memory specification can not be satisfied"),
        (JobResources(cpus=99), "Slurm refuses the job: .*(CPU|processors|configuration)"),
        (JobResources(instance_count=9, distribution=Distribution("mpi")), "Slurm refuses the job: .*ode"),
        (JobResources(instance_count=2), r"Write distribution: \{type: mpi\}"),
        (
            JobResources(distribution=Distribution("tensorflow")),
            "starts no job as 'tensorflow'; allowed are mpi, pytorch",
        ),
    ],
)
def test_what_the_cluster_does_not_have_is_refused_in_its_words(
    target: SlurmJobs, slurm: SlurmCluster, resources: JobResources, words: str
) -> None:
    key = unique_key()
    with pytest.raises(SubmitRejectedError, match=words):
        asyncio.run(target.submit(JobSpec("true", resources=resources), key))
    assert asyncio.run(target.find(key)) is None
    assert set(slurm.jobs(key)) <= {"FAILED"}, "Slurm lists what it refused"
    assert starts(target) == {}


def test_a_partition_that_is_none_is_refused(slurm: SlurmCluster, tmp_path: Path) -> None:
    with pytest.raises(SubmitRejectedError, match=r"[Ii]nvalid partition"):
        asyncio.run(make(slurm, tmp_path, partition="nowhere").submit(JobSpec("true"), unique_key()))


def test_resources_reach_the_job(slurm: SlurmCluster, target: SlurmJobs, tmp_path: Path) -> None:
    shown = 'echo "$SLURM_CPUS_PER_TASK $CUDA_VISIBLE_DEVICES"; scontrol show job "$SLURM_JOB_ID"'
    spec = JobSpec(
        f"export SLURM_CONF={slurm.conf}; {shown}",
        resources=JobResources(cpus=3, memory=GIB + 1, gpus=2),
        timeout=90.0,
    )

    async def case() -> str:
        handle = await target.submit(spec, unique_key())
        assert (await wait_for(target, handle)).state is JobState.SUCCEEDED
        return (await whole_log(target, handle)).decode()

    log = asyncio.run(case())
    assert log.splitlines()[0] == "3 0,1"
    assert "mem=1025M" in log
    assert "TimeLimit=00:07:00" in log


def test_a_job_that_waits_is_queued_and_can_be_cancelled(target: SlurmJobs, slurm: SlurmCluster) -> None:
    async def case() -> None:
        filling = await fill(target)
        waiting = await target.submit(JobSpec("echo never", resources=FULL), unique_key())
        status = (await target.status([waiting]))[0]
        assert (status.state, status.raw) == (JobState.QUEUED, "PENDING")
        assert (await target.logs(waiting)).eof is False
        assert await target.find(waiting.key) == waiting
        assert [one.state for one in await target.status([*filling, waiting])] == [
            *[JobState.RUNNING] * 2,
            JobState.QUEUED,
        ]
        await target.cancel(waiting, 0)
        assert await state(target, waiting) is JobState.CANCELLED
        assert set(slurm.jobs(waiting.key)) <= {"CANCELLED"}
        for handle in filling:
            await target.cancel(handle, 0)
            assert await state(target, handle) is JobState.CANCELLED
        assert starts(target)[waiting.key] == 0

    asyncio.run(case())


def test_a_job_that_somebody_takes_out_of_the_queue_is_cancelled(target: SlurmJobs, slurm: SlurmCluster) -> None:
    async def case() -> None:
        await fill(target)
        waiting = await target.submit(JobSpec("true", resources=FULL), unique_key())
        slurm.run("scancel", f"--name={waiting.key}")
        status = await wait_for(target, waiting)
        assert (status.state, status.message) == (JobState.CANCELLED, "The job was cancelled in Slurm before it began.")

    asyncio.run(case())


def test_a_running_job_that_an_administrator_ends_has_ended(target: SlurmJobs, slurm: SlurmCluster) -> None:
    async def case() -> None:
        handle = await target.submit(JobSpec("echo $$; sleep 300"), unique_key())
        log = await until(target, handle, lambda data: b"\n" in data)
        slurm.run("scancel", "--full", f"--name={handle.key}")
        assert (await wait_for(target, handle)).state in (JobState.FAILED, JobState.LOST)
        assert not alive(int(log))

    asyncio.run(case())


def test_a_launcher_that_is_killed_is_a_lost_job(target: SlurmJobs) -> None:
    async def case() -> None:
        handle = await target.submit(JobSpec("echo $$; sleep 300"), unique_key())
        log = await until(target, handle, lambda data: b"\n" in data)
        os.kill(launcher_of(target, handle.key), signal.SIGKILL)
        status = await wait_for(target, handle)
        assert status.state is JobState.LOST
        assert not alive(int(log))
        assert await target.submit(JobSpec("echo again"), handle.key) == handle
        assert await target.status([handle]) == [status]

    asyncio.run(case())


def test_a_controller_that_dies_takes_no_job_with_it(slurm: SlurmCluster, tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mlpipe-slurm-") as folder, SlurmCluster(Path(folder)) as own:
        target = make(own, tmp_path)

        async def case() -> None:
            filling = await fill(target)
            waiting = await target.submit(JobSpec("echo done", resources=FULL), unique_key())
            await asyncio.to_thread(own.wait_until_saved, waiting.key)
            own.kill_controller()
            with pytest.raises(TransientComputeError, match="does not answer"):
                await target.status([waiting])
            seen = await target.status([*filling, waiting])
            assert [one.state for one in seen] == [*[JobState.RUNNING] * 2, JobState.QUEUED]
            with pytest.raises(TransientComputeError):
                await target.submit(JobSpec("true"), unique_key())
            own.start_controller()
            own.settled()
            for handle in filling:
                await target.cancel(handle, 0)
            assert (await wait_for(target, waiting)).state is JobState.SUCCEEDED
            assert starts(target)[waiting.key] == 1

        asyncio.run(case())


def test_the_end_of_a_job_that_slurm_forgot_is_known(tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mlpipe-slurm-") as folder, SlurmCluster(Path(folder)) as own:
        target = make(own, tmp_path)

        async def begin() -> JobHandle:
            handle = await target.submit(JobSpec("echo result; exit 3"), unique_key())
            await wait_for(target, handle)
            return handle

        handle = asyncio.run(begin())
        own.forget_all()
        assert own.jobs(handle.key) == []
        later = make(own, tmp_path)
        status = asyncio.run(later.status([handle]))[0]
        assert (status.state, status.exit_code) == (JobState.FAILED, 3)
        assert asyncio.run(whole_log(later, handle)) == b"result\n"
        assert asyncio.run(later.find(handle.key)) == handle


def test_a_job_that_never_reached_slurm_is_lost_and_a_late_launcher_finds_it_taken(
    target: SlurmJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_jobs, "_NOT_SEEN_YET", 0.0)

    async def case() -> None:
        key = unique_key()
        await target.place.stage(JobSpec("echo never"), key, waits=True)
        assert await target.find(key) is None
        handle = JobHandle("cluster", key, key)
        status = await wait_for(target, handle)
        assert status.state is JobState.LOST
        assert "never began" in status.message
        words = [*await target.place.program(), "launch", "--stay", target.place.folder(key)]
        await (await asyncio.create_subprocess_exec(*words, stderr=subprocess.DEVNULL)).wait()
        assert starts(target)[key] == 0
        assert await target.status([handle]) == [status]

    asyncio.run(case())


class LosingReplies(SlurmTarget):
    """Whose sbatch does its work and then is not heard of."""

    losing = True

    async def _run(self, program: str, *words: str, given: bytes = b"") -> Finished:
        done = await super()._run(program, *words, given=given)
        if "sbatch" in words and self.losing:
            raise TransientComputeError("the connection broke off")
        return done


def test_a_lost_reply_makes_no_second_job(slurm: SlurmCluster, tmp_path: Path) -> None:
    rounds = int(os.environ.get("MLPIPE_SOAK_ROUNDS", "10"))
    target = LosingReplies.from_config(
        "cluster", {"type": "slurm", "workdir": "jobs", "conf": str(slurm.conf)}, tmp_path
    )

    async def case() -> list[JobHandle]:
        handles = []
        for _ in range(rounds):
            key = unique_key()
            with pytest.raises(TransientComputeError, match="broke off"):
                await target.submit(JobSpec("echo once"), key)
            handles.append(await target.submit(JobSpec("echo once"), key))
        for handle in handles:
            assert (await wait_for(target, handle)).state is JobState.SUCCEEDED
        return handles

    handles = asyncio.run(case())
    assert starts(target) == {handle.key: 1 for handle in handles}
    assert [len(slurm.jobs(handle.key)) for handle in handles] == [1] * rounds


def test_who_dies_before_sbatch_is_followed_after_a_minute(
    target: SlurmJobs, slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_jobs, "_OTHERS_PATIENCE", 1.5)

    async def case() -> None:
        key = unique_key()
        await target.place.stage(JobSpec("echo once"), key, waits=True)
        claim(target, key)
        with pytest.raises(TransientComputeError, match="Another process"):
            await target.submit(JobSpec("echo once"), key)
        grow_old(target, key)
        handle = await target.submit(JobSpec("echo once"), key)
        assert (await wait_for(target, handle)).state is JobState.SUCCEEDED
        assert starts(target)[key] == 1
        assert len(slurm.jobs(key)) == 1

    asyncio.run(case())


_SUBMITTER = """
import asyncio, json, sys, pathlib
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.slurm.target import SlurmTarget
target = SlurmTarget.from_config("cluster", json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]))
print("ready", flush=True)
asyncio.run(target.submit(JobSpec("echo once"), sys.stdin.readline().strip()))
"""


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.08, 0.12, 0.2, 0.3])
def test_a_submitter_that_is_killed_leaves_one_job(
    target: SlurmJobs, slurm: SlurmCluster, tmp_path: Path, moment: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.dumps({"type": "slurm", "workdir": "jobs", "conf": str(slurm.conf)})
    key = unique_key()
    with subprocess.Popen(
        [sys.executable, "-c", _SUBMITTER, config, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(f"{key}\n".encode())
        process.stdin.flush()
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    async def case() -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                handle = await target.submit(JobSpec("echo once"), key)
                break
            except TransientComputeError:
                assert time.monotonic() < deadline
                grow_old(target, key)
        assert (await wait_for(target, handle)).state is JobState.SUCCEEDED

    monkeypatch.setattr(slurm_jobs, "_OTHERS_PATIENCE", 1.0)
    asyncio.run(case())
    assert starts(target)[key] == 1


def distributed(kind: str, command: str, **variables: str) -> JobSpec:
    resources = JobResources(instance_count=2, distribution=Distribution(kind, 2))
    return JobSpec(command, variables=variables, resources=resources)


def test_mpi_starts_every_process_with_the_jobs_variables(target: SlurmJobs) -> None:
    odd = "a b'\"$(touch x)\n"
    code = "import os; print(*(os.environ[n] for n in ('SLURM_PROCID', 'SLURM_NODEID')), os.environb[b'ODD'].hex())"
    show = f'python -c "{code}"'

    async def case() -> list[str]:
        handle = await target.submit(distributed("mpi", show, ODD=odd), unique_key())
        status = await wait_for(target, handle)
        assert status.state is JobState.SUCCEEDED, await whole_log(target, handle)
        return sorted((await whole_log(target, handle)).decode().splitlines())

    assert asyncio.run(case()) == [f"{rank} {rank // 2} {odd.encode().hex()}" for rank in range(4)]


def test_pytorch_finds_its_ranks_and_its_master(target: SlurmJobs) -> None:
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    show = " ".join(f"${name}" for name in names)

    async def case() -> list[str]:
        handle = await target.submit(distributed("pytorch", f"echo {show} port $MASTER_PORT"), unique_key())
        status = await wait_for(target, handle)
        assert status.state is JobState.SUCCEEDED, await whole_log(target, handle)
        return sorted((await whole_log(target, handle)).decode().splitlines())

    lines = asyncio.run(case())
    assert [line.partition(" port ")[0] for line in lines] == [
        f"{rank} {rank % 2} {rank // 2} 4 2 n1" for rank in range(4)
    ]
    (port,) = {line.partition(" port ")[2] for line in lines}
    assert 29500 <= int(port) < 39500


def test_one_process_that_fails_ends_all_and_a_cancel_too(target: SlurmJobs) -> None:
    async def case() -> None:
        failing = await target.submit(
            distributed("mpi", 'echo $$; if [ "$SLURM_PROCID" = 3 ]; then exit 5; fi; sleep 300'), unique_key()
        )
        status = await wait_for(target, failing)
        assert status.state is JobState.FAILED
        pids = [int(line) for line in (await whole_log(target, failing)).splitlines() if line.isdigit()]
        running = await target.submit(distributed("mpi", "echo $$; sleep 300"), unique_key())
        log = await until(target, running, lambda data: data.count(b"\n") == 4)
        await target.cancel(running, 1)
        assert (await wait_for(target, running)).state is JobState.CANCELLED
        pids += [int(word) for word in log.split()]
        deadline = time.monotonic() + 30
        while [pid for pid in pids if alive(pid)]:
            assert time.monotonic() < deadline, "processes of the job run on"
            await asyncio.sleep(0.1)

    asyncio.run(case())


def test_without_slurms_commands_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = SlurmTarget.from_config("cluster", {"type": "slurm", "workdir": "jobs"}, tmp_path)
    with pytest.raises(SubmitRejectedError, match="Install Slurm there"):
        asyncio.run(target.submit(JobSpec("true"), unique_key()))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "write 'workdir'"),
        ({"workdir": "jobs", "partion": "x"}, r"unknown key 'partion'.*Did you mean 'partition'"),
        ({"workdir": "jobs", "partition": "a b"}, "'partition' is 'a b'"),
        ({"workdir": "jobs", "partition": "--uid=0"}, "'partition' is '--uid=0'"),
        ({"workdir": "jobs", "conf": "slurm.conf"}, "absolute path of slurm.conf"),
        ({"workdir": "jobs", "sbatch_options": {"uid": "0"}}, "sbatch_options knows no 'uid'"),
        ({"workdir": "jobs", "sbatch_options": {"constrain": "x"}}, "Did you mean 'constraint'"),
        ({"workdir": "jobs", "sbatch_options": "-N 2"}, "write {constraint"),
        ({"workdir": "jobs", "host": "login"}, "'workdir' is 'jobs'; write the absolute path"),
        ({"workdir": "/jobs", "host": "login", "prt": 1}, "unknown setting 'prt'"),
        ({"workdir": "/jobs", "host": "login", "shares_files": "yes"}, "'shares_files' is 'yes'"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SlurmTarget.from_config("cluster", {"type": "slurm", **config}, tmp_path)


STRANGE: Sequence[bytes] = [
    *(
        b"",
        b"\n",
        b"|",
        b"||",
        b"|||",
        b"null",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"KEY",
        b"KEY|",
        b"KEY||",
        b"KEY| |",
    ),
    *(f"KEY|{word}|".encode() for word in ("pending", "Pending", "DONE", "UNKNOWN", "?", "0", "RUNNING+", "COMPLETIN")),
    *(f"KEY|{word}|None".encode() for word in ("PENDING", "RUNNING", "SUSPENDED", "REQUEUED", "NEW_WORD", "completed")),
    *(
        b"OTHER|COMPLETED|",
        b"other|FAILED|None\nKEY|PENDING|a|b|c",
        b"KEY|PENDING|\nKEY|FAILED|",
        b"KEY|FAILED|\nKEY|PENDING|",
    ),
    *(
        f"KEY|{word}|".encode()
        for word in ("CANCELED", "cancelled", "Cancelled", "TIMEDOUT", "timeout", "Failed", "LOST")
    ),
    *(
        f"KEY|{word}|".encode()
        for word in ("COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED+", "REVOKED")
    ),
    *(
        b"{}",
        b"[]",
        b'{"jobs": null, "errors": []}',
        b'{"jobs": [{"name": "KEY", "job_state": "CANCELLED"}]}',
        b"true",
        b"-1",
        b"NaN",
        b"204 No Content",
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n",
        b"<?xml version='1.0'?><error/>",
        b"Traceback (most recent call last):",
        b"KEY,CANCELLED,None",
        b"KEY\tCANCELLED\tNone",
        b"KEY |CANCELLED|None",
        b"'KEY'|CANCELLED|None",
        b"xKEY|CANCELLED|None",
        b"KEYx|COMPLETED|None",
        b"KEY_1|COMPLETED|None",
        b"KEY\xc2\xa0|CANCELLED|",
        b"KEY|RUNNING|None\rKEY|RUNNING|None",
        b"KEY|PENDING|None\nKEY|CANCELLED by 0|None",
        b"KEY|CANCELLED by 0|None\nKEY|PENDING|None",
        b"KEY|\xff|\xfe",
        b"KEY|PENDING|" + b"r" * 65536,
        b"|CANCELLED|None",
        b"slurm_load_jobs error: Invalid job id specified",
    ),
]


@pytest.mark.parametrize("answer", STRANGE)
def test_a_strange_answer_changes_nothing(tmp_path: Path, answer: bytes) -> None:
    asked: list[Sequence[str]] = []

    class Strange(SlurmTarget):
        async def _slurm(self, words: Sequence[str], given: bytes = b"") -> Finished:
            asked.append(words)
            return Finished(0, answer.replace(b"KEY", key.encode()), b"")

    key = unique_key()
    target = Strange.from_config("cluster", {"type": "slurm", "workdir": "jobs"}, tmp_path)

    async def case() -> None:
        await target.place.stage(JobSpec("true"), key, waits=True)
        status = (await target.status([JobHandle("cluster", key, key)]))[0]
        assert status.state is JobState.QUEUED

    asyncio.run(case())
    assert [words[0] for words in asked] == ["squeue"]


def test_there_are_sixty_strange_answers() -> None:
    assert len(set(STRANGE)) == len(STRANGE) >= 60


@pytest.mark.parametrize("code", [1, 2, 13, 124, 126, 128, 137, 139, 255, -9, -11])
@pytest.mark.parametrize("said", [b"", b"<html>", b"\xff", b"slurm_load_jobs error: Invalid user id\n"])
def test_a_listing_that_fails_is_no_answer(tmp_path: Path, code: int, said: bytes) -> None:
    class Failing(SlurmTarget):
        async def _slurm(self, words: Sequence[str], given: bytes = b"") -> Finished:
            return Finished(code, b"KEY|CANCELLED|None", said)

    key = unique_key()
    target = Failing.from_config("cluster", {"type": "slurm", "workdir": "jobs"}, tmp_path)

    async def case() -> None:
        await target.place.stage(JobSpec("true"), key, waits=True)
        with pytest.raises(TransientComputeError, match="Slurm does not answer"):
            await target.status([JobHandle("cluster", key, key)])
        assert not (target.place.workdir / key / "exit.json").exists()  # type: ignore[attr-defined]

    asyncio.run(case())


def test_what_passes_and_what_does_not() -> None:
    assert may_pass("Batch job submission failed: Unable to contact slurm controller (connect failure)")
    assert may_pass("Socket timed out on send/recv operation")
    assert not may_pass("Batch job submission failed: Requested node configuration is not available")
    assert opinions(b"a|CANCELLED by 0|None\n")["a"].ended
