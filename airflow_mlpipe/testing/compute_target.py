# ruff: noqa: D102 - the name of a test says what it asks
"""The contract of a compute target, as tests: inherit it to prove a target of your own.

    class TestMyTarget(ComputeTargetContract):
        @pytest.fixture
        def target(self, tmp_path):
            return MyTarget("mine", ...)

Every test uses keys of its own, so the tests may share one target. What they start they end.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_mlpipe.compute.base import ComputeTarget, JobHandle, JobSpec, JobState, JobStatus
from airflow_mlpipe.compute.job_parts import Carried, Role
from airflow_mlpipe.errors import SubmitRejectedError
from airflow_mlpipe.snapshot import take_snapshot
from airflow_mlpipe.testing.jobs import alive, unique_key, until, wait_for, whole_log
from airflow_mlpipe.testing.trees import contents, fill

T = TypeVar("T")
HOSTILE = {
    "PLAIN": "value",
    "EMPTY": "",
    "QUOTES": 'O\'Brien said "no" `touch x` \\',
    "SHELL": "$(touch x) ${HOME} $HOME; exit 1 & | > x",
    "LINES": "one\ntwo\r\n\tthree\n",
    "TEMPLATE": "{{ ds }} {% raw %} ${{inputs.x}} %s %(x)s",
    "UNICODE": "Zürich 中文 \u202e \U0001f680",
    "NOT_UTF8": "caf\udce9",
    "LONG": "x" * 100_000,
    "lower.and-odd": "a.b",
}


class ComputeTargetContract:
    """What every compute target must do."""

    same_machine = True
    """Jobs run on the machine of the tests, so that the tests can look at processes and folders."""

    @pytest.fixture
    def target(self) -> ComputeTarget:
        """Return the target to be tested; to be overridden."""
        raise LookupError("Define the fixture 'target' in the class that inherits this contract.")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one test's coroutine in an event loop of its own."""
        return asyncio.run(coroutine)

    async def done(self, target: ComputeTarget, spec: JobSpec) -> tuple[JobStatus, bytes]:
        """Run a job to its end and return its status and output."""
        handle = await target.submit(spec, unique_key())
        return await wait_for(target, handle), await whole_log(target, handle)

    def test_a_job_runs_and_its_end_and_output_are_known(self, target: ComputeTarget) -> None:
        async def case() -> None:
            key = unique_key()
            assert await target.find(key) is None
            handle = await target.submit(JobSpec("echo out; echo err >&2"), key)
            assert (handle.target, handle.key) == (target.name, key)
            assert JobHandle.from_json(json.loads(json.dumps(handle.to_json()))) == handle
            assert await target.find(key) == handle
            status = await wait_for(target, handle)
            assert (status.state, status.exit_code, status.message) == (JobState.SUCCEEDED, 0, "")
            assert status.seconds is not None
            assert status.seconds >= 0
            assert sorted((await whole_log(target, handle)).splitlines()) == [b"err", b"out"]
            assert await target.find(key) == handle
            assert target.log_location(handle)

        self.run(case())

    @pytest.mark.parametrize("code", [1, 7, 127, 255])
    def test_the_exit_code_is_the_commands_own(self, target: ComputeTarget, code: int) -> None:
        status, _ = self.run(self.done(target, JobSpec(f"exit {code}")))
        assert (status.state, status.exit_code) == (JobState.FAILED, code)
        assert str(code) in status.message

    @pytest.mark.parametrize("name", ["KILL", "SEGV"])
    def test_a_command_killed_by_a_signal_failed(self, target: ComputeTarget, name: str) -> None:
        status, _ = self.run(self.done(target, JobSpec(f"kill -{name} $$; sleep 60")))
        assert status.state is JobState.FAILED
        assert status.exit_code != 0
        assert name in status.message

    def test_a_command_that_does_not_exist_failed(self, target: ComputeTarget) -> None:
        status, log = self.run(self.done(target, JobSpec("no-such-command-here --flag")))
        assert (status.state, status.exit_code) == (JobState.FAILED, 127)
        assert b"no-such-command-here" in log

    def test_a_second_submit_of_a_key_attaches(self, target: ComputeTarget) -> None:
        async def case() -> None:
            key = unique_key()
            first = await target.submit(JobSpec("echo first"), key)
            assert await target.submit(JobSpec("echo second"), key) == first
            before = await wait_for(target, first)
            assert await target.submit(JobSpec("echo third"), key) == first
            assert (await target.status([first])) == [before]
            assert await whole_log(target, first) == b"first\n"

        self.run(case())

    def test_sixteen_submits_at_once_start_one_job(self, target: ComputeTarget) -> None:
        async def case() -> None:
            key = unique_key()
            handles = await asyncio.gather(*(target.submit(JobSpec("echo started"), key) for _ in range(16)))
            assert len(set(handles)) == 1
            await wait_for(target, handles[0])
            assert await whole_log(target, handles[0]) == b"started\n"

        self.run(case())

    def test_states_only_go_forward_and_an_ended_job_never_changes(self, target: ComputeTarget) -> None:
        order = [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]

        async def case() -> None:
            handle = await target.submit(JobSpec("sleep 0.3"), unique_key())
            seen = [(await target.status([handle]))[0]]
            while not seen[-1].state.is_terminal:
                seen += await target.status([handle])
            places = [order.index(status.state) for status in seen]
            assert places == sorted(places)
            await target.cancel(handle)
            assert await target.status([handle]) == [seen[-1]]

        self.run(case())

    def test_many_states_come_in_the_order_asked(self, target: ComputeTarget) -> None:
        async def case() -> None:
            codes = [3, 0, 5]
            handles = [await target.submit(JobSpec(f"exit {code}"), unique_key()) for code in codes]
            for handle in handles:
                await wait_for(target, handle)
            unknown = JobHandle(target.name, unique_key(), unique_key())
            statuses = await target.status([*handles, unknown, *reversed(handles)])
            assert [status.exit_code for status in statuses] == [*codes, None, *reversed(codes)]
            assert await target.status([]) == []

        self.run(case())

    def test_a_log_is_byte_exact_from_any_cursor(self, target: ComputeTarget) -> None:
        seed = 20_131
        write = f"import random,sys; sys.stdout.buffer.write(random.Random({seed}).randbytes(5000))"
        expected = random.Random(seed).randbytes(5000)  # noqa: S311 - a test's data

        async def case() -> None:
            handle = await target.submit(JobSpec(f'python -c "{write}"'), unique_key())
            await wait_for(target, handle)
            for limit in (7, 999, 65536):
                assert await whole_log(target, handle, limit) == expected
            first = await target.logs(handle, None, 1234)
            rest = await target.logs(handle, first.cursor, 65536)
            assert (first.data + rest.data, first.eof, rest.eof) == (expected, False, True)
            assert (await target.logs(handle, rest.cursor)).data == b""

        self.run(case())

    def test_output_shows_while_the_job_runs(self, target: ComputeTarget) -> None:
        async def case() -> None:
            code = "import time; print('now'); time.sleep(300)"
            handle = await target.submit(JobSpec(f'python -c "{code}"'), unique_key())
            try:
                assert await until(target, handle, lambda data: b"\n" in data) == b"now\n"
                assert (await target.status([handle]))[0].state is JobState.RUNNING
                assert not (await target.logs(handle)).eof
            finally:
                await target.cancel(handle, 0)

        self.run(case())

    def test_a_job_ends_at_its_time_limit(self, target: ComputeTarget) -> None:
        status, log = self.run(self.done(target, JobSpec("sleep 300 & echo $!; sleep 300", timeout=0.5)))
        assert (status.state, status.exit_code) != (JobState.SUCCEEDED, 0)
        assert status.state is JobState.FAILED
        assert "time limit of 0.5 s" in status.message
        self.gone(log)

    def gone(self, log: bytes) -> None:
        """Check that none of the processes whose numbers a job printed is left."""
        pids = [int(word) for word in log.split() if word.isdigit()]
        assert pids
        if self.same_machine:
            assert [pid for pid in pids if alive(pid)] == []

    def test_cancel_ends_everything_that_a_job_started(self, target: ComputeTarget) -> None:
        command = (
            "trap '' TERM; echo $$; sleep 300 & echo $!; (setsid sh -c 'echo $$; exec sleep 300' &) ; wait; sleep 300"
        )

        async def case() -> None:
            handle = await target.submit(JobSpec(command), unique_key())
            log = await until(target, handle, lambda data: data.count(b"\n") == 3)
            await target.cancel(handle, 0.2)
            assert (await wait_for(target, handle)).state is JobState.CANCELLED
            self.gone(log)
            await target.cancel(handle)
            assert (await target.status([handle]))[0].state is JobState.CANCELLED

        self.run(case())

    def test_cancel_leaves_time_to_clean_up_and_outranks_the_exit_code(self, target: ComputeTarget) -> None:
        command = "trap 'sleep 0.2; echo cleaned; exit 0' TERM; echo ready; while true; do sleep 0.05; done"

        async def case() -> None:
            handle = await target.submit(JobSpec(command), unique_key())
            await until(target, handle, lambda data: b"ready" in data)
            await target.cancel(handle, 20)
            assert (await wait_for(target, handle)).state is JobState.CANCELLED
            assert (await whole_log(target, handle)).endswith(b"cleaned\n")

        self.run(case())

    def test_cancel_directly_after_submit(self, target: ComputeTarget) -> None:
        async def case() -> None:
            handle = await target.submit(JobSpec("sleep 300"), unique_key())
            await asyncio.gather(*(target.cancel(handle, 1) for _ in range(3)))
            assert (await wait_for(target, handle)).state is JobState.CANCELLED

        self.run(case())

    def test_what_a_command_leaves_behind_is_ended(self, target: ComputeTarget) -> None:
        command = "(setsid sleep 300 & echo $!) ; sleep 300 & echo $!; exit 0"
        status, log = self.run(self.done(target, JobSpec(command)))
        assert status.state is JobState.SUCCEEDED
        self.gone(log)

    def test_a_forgotten_job_is_unknown(self, target: ComputeTarget) -> None:
        async def case() -> None:
            handle = await target.submit(JobSpec("mkdir closed; touch closed/file; chmod 000 closed"), unique_key())
            await wait_for(target, handle)
            await target.forget(handle)
            assert await target.find(handle.key) is None
            await target.forget(handle)
            await self.unknown(target, handle)

        self.run(case())

    @pytest.mark.parametrize("key", ["mlp-never-seen", "../../etc", "", "a/b", "UPPER", ".", "x" * 300])
    def test_a_job_that_nobody_knows_is_lost_and_silent(self, target: ComputeTarget, key: str) -> None:
        self.run(self.unknown(target, JobHandle(target.name, key, key)))

    async def unknown(self, target: ComputeTarget, handle: JobHandle) -> None:
        """Check that all verbs are quiet about a job that does not exist."""
        (status,) = await target.status([handle])
        assert status.state is JobState.LOST
        assert status.message
        chunk = await target.logs(handle)
        assert (chunk.data, chunk.eof) == (b"", True)
        await target.cancel(handle, 0)
        await target.forget(handle)
        assert await target.find(handle.key) is None

    def test_a_job_sees_nothing_of_the_callers_environment(
        self, target: ComputeTarget, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_DB", "MY_TOKEN", "PYTHONPATH", "BASH_ENV"):
            monkeypatch.setenv(name, "secret-of-the-caller")
        _, log = self.run(self.done(target, JobSpec("env -0; cat /proc/$PPID/environ")))
        assert b"secret-of-the-caller" not in log
        assert b"AIRFLOW" not in log

    def test_values_arrive_as_they_are(self, target: ComputeTarget) -> None:
        show = "import json,os,sys; json.dump({n: os.environb[n.encode()].hex() for n in sys.argv[1:]}, sys.stdout)"
        command = f'python -c "{show}" {" ".join(HOSTILE)}; ls >&2'
        status, log = self.run(self.done(target, JobSpec(command, variables=HOSTILE)))
        assert status.state is JobState.SUCCEEDED, log
        seen = {
            name: bytes.fromhex(value).decode("utf-8", "surrogateescape") for name, value in json.loads(log).items()
        }
        assert seen == HOSTILE

    def test_python_in_a_job_is_not_led_astray(self, target: ComputeTarget) -> None:
        command = 'python -c "import sys; print(sys.version_info[0])"; python3 -c "print(3)"'
        assert self.run(self.done(target, JobSpec(command)))[1] == b"3\n3\n"

    def test_metrics_come_back_and_bad_lines_are_named(self, target: ComputeTarget) -> None:
        lines = [
            '{"name": "auc", "value": 0.741, "step": 1}',
            '{"name": "auc", "value": 1}',
            '{"name": "nan", "value": NaN}',
            '{"name": "big", "value": 1e999}',
            '{"name": "huge", "value": 1' + "0" * 400 + "}",
            '{"name": "bool", "value": true}',
            '{"name": "", "value": 1}',
            '{"name": "\\ud800", "value": 1}',
            '{"name": "step", "value": 1, "step": "x"}',
            "[" * 5000,
            "not json",
            "",
            '{"name": "last", "value": -2}',
        ]
        spec = JobSpec('cp "$MLPIPE_JOB_DIR/lines" "$MLPIPE_METRICS_FILE"', files={"lines": "\n".join(lines)})
        status, _ = self.run(self.done(target, spec))
        assert status.state is JobState.SUCCEEDED
        good = [("auc", 0.741, 1), ("auc", 1, None), ("last", -2, None)]
        assert [(m["name"], m["value"], m["step"]) for m in status.metrics] == good
        assert "9 bad line(s)" in status.message
        assert "line 3: value of 'nan' is not a finite number" in status.message

    def test_the_working_folder_is_a_fresh_copy_of_the_code(self, target: ComputeTarget, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "train.py").write_text("print('trained')\nopen('made', 'w').close()\nopen('train.py', 'w').close()\n")
        spec = JobSpec(
            'python train.py; ls; cat "$MLPIPE_JOB_DIR/note"; echo "$MLPIPE_JOB_KEY" > "$OUT/key"',
            variables={"OUT": str(tmp_path / "deep" / "out")},
            code=take_snapshot(source),
            files={"note": "ü $HOME\n"},
            folders=[str(tmp_path / "deep" / "out")],
        )
        key = unique_key()

        async def case() -> None:
            handle = await target.submit(spec, key)
            await wait_for(target, handle)
            assert (await whole_log(target, handle)).decode() == "trained\nmade\ntrain.py\nü $HOME\n"

        self.run(case())
        assert [path.name for path in source.iterdir()] == ["train.py"]
        assert (source / "train.py").read_text().startswith("print")
        if self.same_machine:
            assert (tmp_path / "deep" / "out" / "key").read_text() == f"{key}\n"

    def carry(self, target: ComputeTarget, key: str, port: str, here: Path, *, output: bool = False) -> Carried:
        """Return an input or output of a job as the target wants it seen."""
        role: Role = "output" if output else "input"
        return Carried(port, role, here, target.seen_as(key, role, port, here), is_file=here.suffix != "")

    async def bring(self, target: ComputeTarget, handle: JobHandle, carried: Sequence[Carried]) -> None:
        """Bring the outputs of an ended job to where they belong here; again does no harm."""
        await target.collect(handle, carried)

    def test_data_goes_there_and_comes_back(self, target: ComputeTarget, tmp_path: Path) -> None:
        source, single = tmp_path / "store" / "data", tmp_path / "store" / "one.csv"
        fill(source)
        single.write_bytes(b"\x00\xff one")
        key = unique_key()
        carried = [
            self.carry(target, key, "folder", source),
            self.carry(target, key, "single", single),
            self.carry(target, key, "copy", tmp_path / "store" / "attempt" / "copy", output=True),
            self.carry(target, key, "made", tmp_path / "store" / "attempt" / "made.txt", output=True),
            self.carry(target, key, "nothing", tmp_path / "store" / "attempt" / "nothing", output=True),
        ]
        spec = JobSpec(
            'cp -r "$folder/." "$copy"; ln -s a.txt "$copy/link"; cat "$single" > "$made"; ls "$(dirname "$single")"',
            variables={item.port: item.there for item in carried},
            folders=[item.there.rpartition("/")[0] if item.is_file else item.there for item in carried[2:]],
            carried=carried,
        )

        async def case() -> None:
            handle = await target.submit(spec, key)
            assert (status := await wait_for(target, handle)).state is JobState.SUCCEEDED, status
            assert b"one.csv" in await whole_log(target, handle)
            for _ in range(2):
                await self.bring(target, handle, carried)

        self.run(case())
        expected = {**contents(source), "link": b"a"}
        assert contents(tmp_path / "store" / "attempt" / "copy") == expected
        assert (tmp_path / "store" / "attempt" / "made.txt").read_bytes() == b"\x00\xff one"
        assert contents(tmp_path / "store" / "attempt" / "nothing") == {}
        assert contents(source) == {path: data for path, data in expected.items() if path != "link"}

    @pytest.mark.parametrize(
        "spec",
        [
            JobSpec("true", variables={"A": "\0"}),
            JobSpec("true", variables={"A=B": "x"}),
            JobSpec("true", variables={"": "x"}),
            JobSpec("true", variables={"A": "x" * 200_000}),
            JobSpec("true", variables={"A": "\ud800"}),
            JobSpec("echo \0"),
            JobSpec("true", files={"../up": "x"}),
            JobSpec("true", files={"": "x"}),
            JobSpec("true", folders=["relative"]),
        ],
        ids=lambda spec: repr(spec)[:60],
    )
    def test_what_no_process_can_be_given_is_refused(self, target: ComputeTarget, spec: JobSpec) -> None:
        key = unique_key()
        with pytest.raises(SubmitRejectedError):
            self.run(target.submit(spec, key))
        assert self.run(target.find(key)) is None

    @pytest.mark.parametrize("key", ["", "../up", "UPPER", "a b", "x" * 53, "a\n"])
    def test_a_key_that_is_none_is_refused(self, target: ComputeTarget, key: str) -> None:
        with pytest.raises(SubmitRejectedError):
            self.run(target.submit(JobSpec("true"), key))
