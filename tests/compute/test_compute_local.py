"""The local target where the contract cannot look: other processes, crashes, strange files."""

import asyncio
import contextlib
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
from airflow_mlpipe.compute.far_side.desk import spawn
from airflow_mlpipe.compute.far_side.job_folder import JobFolder
from airflow_mlpipe.compute.far_side.records import put_new
from airflow_mlpipe.compute.job_payload import launcher_spec
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.errors import ComputeError, ConfigError, TransientComputeError
from airflow_mlpipe.testing.jobs import alive, until, wait_for, whole_log

KEY = "mlp-local"
HANDLE = JobHandle("here", KEY, KEY)

SUBMITTER = """
import asyncio, pathlib, sys
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.local import LocalTarget
target = LocalTarget("here", pathlib.Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
async def main():
    await asyncio.gather(*(target.submit(JobSpec(sys.argv[3]), sys.argv[2]) for _ in range(4)))
asyncio.run(main())
print("submitted", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def submitters(target, command, count):
    """Start processes that submit one job each when they are told to, in sessions of their own."""
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SUBMITTER, str(target.workdir), KEY, command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
            )
            for _ in range(count)
        ]
        try:
            for process in processes:
                assert process.stdout.readline() == b"ready\n"
            yield processes
        finally:
            for process in processes:
                process.kill()


def go(process):
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.fixture
def target(tmp_path):
    target = LocalTarget("here", tmp_path / "jobs")
    yield target
    for spec in target.workdir.glob("[a-z]*/spec.json"):
        JobFolder(target.workdir, spec.parent.name).force_end()


@pytest.fixture
def job(target):
    return JobFolder(target.workdir, KEY)


def starts(target):
    journal = target.workdir / "submissions.jsonl"
    return [json.loads(line)["key"] for line in journal.read_text().splitlines()] if journal.exists() else []


def staged(job, spec):
    with job.lock():
        job.stage(launcher_spec(spec, sys.executable, waits=False), sys.executable, lambda folder: None)


def late_launcher(target, job):
    spawn([*target.place.desk.program, "launch", str(job.path)], job.path)


def state(target):
    (status,) = asyncio.run(target.status([HANDLE]))
    return status


def begin(target, command):
    """Submit a job and return the first line that it prints, as a number."""

    async def case():
        handle = await target.submit(JobSpec(command), KEY)
        return int((await until(target, handle, lambda data: b"\n" in data)).split()[0])

    return asyncio.run(case())


def end(target):
    return asyncio.run(wait_for(target, HANDLE))


def claim(job):
    return json.loads((job.path / "claim.json").read_text())


def write_claim(job, age=0.0, **values):
    path = job.path / "claim.json"
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(values))
    os.utime(path, (time.time() - age, time.time() - age))


def test_submits_from_several_processes_start_one_job(target):
    with submitters(target, "echo once", 4) as processes:
        for process in processes:
            go(process)
        for process in processes:
            assert process.stdout.readline() == b"submitted\n"
    assert end(target).state is JobState.SUCCEEDED
    assert starts(target) == [KEY]
    assert asyncio.run(whole_log(target, HANDLE)) == b"once\n"


def test_a_submitter_killed_at_any_moment_leaves_a_job_that_starts_once(tmp_path):
    seed = int(time.time())
    moments = random.Random(seed)
    for number in range(4):
        target = LocalTarget("here", tmp_path / str(number))
        with submitters(target, "sleep 0.1; echo once", 3) as processes:
            for process in processes:
                go(process)
                time.sleep(moments.uniform(0, 0.05))
                os.killpg(process.pid, signal.SIGKILL)
        asyncio.run(target.submit(JobSpec("sleep 0.1; echo once"), KEY))
        assert end(target).state is JobState.SUCCEEDED, f"seed {seed}"
        assert starts(target) == [KEY], f"seed {seed}"
        assert asyncio.run(whole_log(target, HANDLE)) == b"once\n", f"seed {seed}"


def test_a_job_survives_its_submitters_process_group_and_another_process_adopts_it(target):
    with submitters(target, "echo $$; sleep 0.5; echo done", 1) as (process,):
        go(process)
        assert process.stdout.readline() == b"submitted\n"
        os.killpg(process.pid, signal.SIGKILL)
    assert asyncio.run(target.find(KEY)) == HANDLE
    assert state(target).state is JobState.RUNNING
    assert asyncio.run(target.submit(JobSpec("echo other"), KEY)) == HANDLE
    assert end(target).state is JobState.SUCCEEDED
    assert asyncio.run(whole_log(target, HANDLE)).endswith(b"done\n")
    assert starts(target) == [KEY]


def test_a_job_is_no_child_of_ours_and_holds_none_of_our_files(target):
    pid = begin(target, "echo $$; sleep 300")
    runner = claim(JobFolder(target.workdir, KEY))["pid"]
    assert processes.process(runner).parent != os.getpid()
    assert os.getsid(runner) != os.getsid(0)
    assert {str(Path(f"/proc/{runner}/fd/{number}").readlink()) for number in (0, 1, 2)} == {"/dev/null"}
    assert str(Path(f"/proc/{pid}/fd/0").readlink()) == "/dev/null"


def test_a_job_staged_but_never_started_is_started_by_the_next_submit(target, job):
    (target.workdir / f".staging-{KEY}" / "code").mkdir(parents=True)
    staged(job, JobSpec("echo started"))
    assert asyncio.run(target.find(KEY)) is None
    assert state(target).state is JobState.QUEUED
    asyncio.run(target.submit(JobSpec("echo started"), KEY))
    assert end(target).state is JobState.SUCCEEDED
    assert starts(target) == [KEY]


def test_a_job_that_nobody_starts_is_lost_and_a_late_launcher_does_nothing(target, job):
    staged(job, JobSpec("echo late"))
    os.utime(job.path / "spec.json", (0, 0))
    assert state(target).state is JobState.LOST
    late_launcher(target, job)
    assert state(target).state is JobState.LOST
    assert starts(target) == []


def test_a_staged_job_can_be_cancelled_before_it_starts(target, job):
    staged(job, JobSpec("echo late"))
    asyncio.run(target.cancel(HANDLE, 0))
    assert state(target).state is JobState.CANCELLED
    late_launcher(target, job)
    assert starts(target) == []


def test_a_launcher_that_was_killed_is_a_lost_job_without_left_over_processes(target, job):
    pid = begin(target, "sleep 300 & echo $!; wait")
    os.kill(claim(job)["pid"], signal.SIGKILL)
    status = end(target)
    assert status.state is JobState.LOST
    assert "gone without an exit record" in status.message
    assert str(job.log) in status.message
    assert not alive(pid)
    asyncio.run(target.cancel(HANDLE))
    assert state(target) == status
    asyncio.run(target.submit(JobSpec("echo again"), KEY))
    assert starts(target) == [KEY]


def test_a_launcher_that_does_not_answer_is_ended_too(target, job):
    pid = begin(target, "sleep 300 & echo $!; wait")
    runner = claim(job)["pid"]
    os.kill(runner, signal.SIGSTOP)
    target.cancel_patience = 0.2
    asyncio.run(target.cancel(HANDLE, 0))
    assert end(target).state is JobState.CANCELLED
    assert not alive(pid)
    assert not alive(runner)


def test_a_job_that_was_called_lost_does_not_run_on(target, job):
    pid = begin(target, "echo $$; sleep 300")
    lost = {"reason": "lost", "message": "", "exit_code": None, "signal": None, "seconds": 0, "metrics": []}
    runner = claim(job)["pid"]
    assert put_new(job.path / "exit.json", lost)
    deadline = time.monotonic() + 30
    while alive(pid) or alive(runner):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state(target).state is JobState.LOST


def test_a_job_whose_folder_vanishes_ends(target, job, tmp_path):
    pid = begin(target, "echo $$; sleep 300")
    job.path.rename(tmp_path / "elsewhere")
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state(target).state is JobState.LOST


def test_a_process_number_given_to_somebody_else_is_not_ours(target, job):
    staged(job, JobSpec("true"))
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as stranger:
        try:
            own = processes.process(stranger.pid)
            write_claim(job, pid=stranger.pid, start=str(int(own.start) - 1), **processes.here())
            asyncio.run(target.cancel(HANDLE, 0))
            assert state(target).state is JobState.LOST
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_zombie_is_not_running(target, job):
    staged(job, JobSpec("true"))
    with subprocess.Popen(["sleep", "300"]) as child:
        start = processes.process(child.pid).start
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        write_claim(job, pid=child.pid, start=start, **processes.here())
        assert state(target).state is JobState.LOST


@pytest.mark.parametrize("foreign", [{"boot_id": "another"}, {"pid_namespace": "pid:[1]"}])
def test_a_launcher_of_another_boot_or_container_counts_by_its_heartbeat(target, job, foreign):
    staged(job, JobSpec("true"))
    own = {"pid": os.getpid(), "start": processes.process(os.getpid()).start, **processes.here(), **foreign}
    write_claim(job, **own)
    assert state(target).state is JobState.RUNNING
    write_claim(job, age=3600, **own)
    assert state(target).state is JobState.LOST


GARBAGE = [b"", b"{", b"[]", b"null", b"7", b'"text"', b"{}", b"\0" * 200, b"[" * 100_000, b"\xff\xfe", b'{"pid": "x"}']


@pytest.mark.parametrize(
    "text", [*GARBAGE, b'{"pid": -1, "start": "1"}', b'{"pid": 1e400, "start": "1"}', b'{"pid": 7, "start": 7}']
)
def test_a_damaged_claim_is_never_adopted(target, job, text):
    staged(job, JobSpec("true"))
    (job.path / "claim.json").write_bytes(text)
    assert state(target).state is JobState.LOST
    asyncio.run(target.cancel(HANDLE, 0))
    assert asyncio.run(target.logs(HANDLE)).eof
    asyncio.run(target.forget(HANDLE))
    assert not job.path.exists()


@pytest.mark.parametrize(
    "text",
    [
        *GARBAGE,
        b'{"reason": 1, "message": "", "exit_code": 0, "signal": null, "seconds": 1, "metrics": []}',
        b'{"reason": "", "message": "", "exit_code": "0", "signal": null, "seconds": 1, "metrics": []}',
        b'{"reason": "", "message": "", "exit_code": 0, "signal": null, "seconds": 1, "metrics": [1]}',
    ],
)
def test_a_damaged_exit_record_is_no_success(target, job, text):
    staged(job, JobSpec("true"))
    (job.path / "exit.json").write_bytes(text)
    status = state(target)
    assert status.state is JobState.LOST
    assert "damaged" in status.message
    assert state(target) == status


def test_a_folder_where_a_file_should_be_is_no_traceback(target, job):
    staged(job, JobSpec("true"))
    (job.path / "exit.json").mkdir()
    assert state(target).state is JobState.LOST


def test_a_running_job_is_not_forgotten(target, job):
    begin(target, "echo 1; sleep 300")
    with pytest.raises(ComputeError, match="has not ended"):
        asyncio.run(target.forget(HANDLE))
    assert job.path.exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (JobSpec("true", variables={f"V{n}": "x" * 120_000 for n in range(60)}), "Argument list too long"),
        (JobSpec("true", folders=["/dev/null/out"]), "Not a directory"),
    ],
)
def test_a_job_that_cannot_start_says_why(target, spec, words):
    asyncio.run(target.submit(spec, KEY))
    status = end(target)
    assert status.state is JobState.FAILED
    assert "cannot be started" in status.message
    assert words in status.message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('mkfifo "$MLPIPE_METRICS_FILE"', "not a regular file"),
        ('mkdir "$MLPIPE_METRICS_FILE"', "cannot be read"),
        ('ln -s /etc/passwd "$MLPIPE_METRICS_FILE"', "cannot be read"),
        ('head -c 5000000 /dev/zero > "$MLPIPE_METRICS_FILE"', "the rest was ignored"),
        ('yes \'{"name":"a","value":1}\' | head -n 20000 > "$MLPIPE_METRICS_FILE"', "longer than 10000 lines"),
    ],
)
def test_an_odd_metrics_file_is_a_note_and_no_failure(target, command, words):
    asyncio.run(target.submit(JobSpec(command), KEY))
    status = end(target)
    assert status.state is JobState.SUCCEEDED
    assert words in status.message
    assert len(status.metrics) < 10_000


def test_a_working_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    target = LocalTarget("here", tmp_path / "file" / "jobs")
    with pytest.raises(TransientComputeError, match="cannot be prepared"):
        asyncio.run(target.submit(JobSpec("true"), KEY))


def test_the_interpreter_of_the_target_is_what_python_means(tmp_path):
    (tmp_path / "bin").mkdir()
    odd = tmp_path / "bin" / "an odd python"
    odd.write_text('#!/bin/sh\necho the odd one "$@"\n')
    odd.chmod(0o755)
    target = LocalTarget.from_config("here", {"type": "local", "workdir": "jobs", "python": str(odd)}, tmp_path)
    asyncio.run(target.submit(JobSpec('python "a b"; python3 c'), KEY))
    assert asyncio.run(whole_log(target, HANDLE)) == b"the odd one a b\nthe odd one c\n"


def test_the_configuration_is_checked(tmp_path):
    target = LocalTarget.from_config("here", {"type": "local", "workdir": "./jobs"}, tmp_path)
    assert target.log_location(HANDLE) == str(tmp_path / "jobs" / KEY / "log.txt")
    assert not target.workdir.exists()
    for config, words in [
        ({"workdri": "./jobs"}, "Did you mean 'workdir'"),
        ({"type": "local"}, "workdir is missing"),
        ({"workdir": 3}, "write the path as text"),
        ({"workdir": "jobs", "python": "no-such-python"}, "is not on PATH"),
    ]:
        with pytest.raises(ConfigError, match=words):
            LocalTarget.from_config("here", config, tmp_path)


def test_a_wait_ends_with_the_job(target):
    async def live():
        handle = await target.submit(JobSpec("until [ -e go ]; do sleep 0.05; done"), KEY)
        go_on = target.workdir / KEY / "code" / "go"
        waiting = asyncio.ensure_future(target.wait(handle, 3600))
        await target.wait(handle, 0.01)
        early = waiting.done()
        go_on.write_text("go\n")
        await waiting
        (status,) = await target.status([handle])
        await target.wait(handle, 3600)  # of a job that has ended
        return early, status.state

    assert asyncio.run(live()) == (False, JobState.SUCCEEDED)


@pytest.mark.parametrize("claim", [None, b"{", b'{"pid": 1, "start": "0", "boot_id": "other", "pid_namespace": "x"}'])
def test_a_wait_for_a_launcher_that_cannot_be_seen_is_a_pause(target, claim):
    folder = target.workdir / KEY
    folder.mkdir(parents=True)
    if claim is not None:
        (folder / "claim.json").write_bytes(claim)
    began = time.monotonic()
    asyncio.run(target.wait(HANDLE, 0.2))
    assert time.monotonic() - began >= 0.2
