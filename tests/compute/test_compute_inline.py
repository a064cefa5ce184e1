"""What the inline target adds to the contract: its jobs go with it, and it tells what was submitted."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.inline import InlineTarget
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.testing.jobs import alive, until, wait_for


@pytest.fixture
def target(tmp_path):
    target = InlineTarget.from_config("inline", {"type": "inline"}, tmp_path)
    yield target
    target.close()


def test_submissions_are_told_without_those_that_attached(target):
    async def case():
        specs = [JobSpec("echo 1"), JobSpec("echo 2")]
        for number, spec in enumerate(specs):
            handle = await target.submit(spec, f"mlp-{number}")
            await target.submit(JobSpec("echo other"), f"mlp-{number}")
            await wait_for(target, handle)
        assert target.submissions == [("mlp-0", specs[0]), ("mlp-1", specs[1])]

    asyncio.run(case())


def test_its_folder_and_running_jobs_go_with_it(target):
    async def case():
        handle = await target.submit(JobSpec("echo $$; sleep 300"), "mlp-0")
        return int(await until(target, handle, lambda data: b"\n" in data))

    pid = asyncio.run(case())
    target.close()
    assert not alive(pid)
    assert not target.workdir.exists()


OWNER = """
import asyncio, os, sys
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.inline import InlineTarget
from airflow_mlpipe.testing.jobs import until
target = InlineTarget("inline")
async def main():
    handle = await target.submit(JobSpec("echo $$; sleep 300"), "mlp-0")
    return (await until(target, handle, lambda data: b"\\n" in data)).decode()
print(asyncio.run(main()).strip(), target.workdir, flush=True)
os._exit(0) if sys.argv[1] == "hard" else sys.exit(0)
"""


@pytest.mark.parametrize("how", ["hard", "soft"])
def test_its_jobs_end_with_the_process(how):
    done = subprocess.run([sys.executable, "-c", OWNER, how], capture_output=True, text=True, check=True)
    pid, folder = done.stdout.split()
    deadline = time.monotonic() + 30
    while alive(int(pid)) or (how == "hard" and not Path(folder, "mlp-0", "exit.json").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert Path(folder).exists() == (how == "hard")
    shutil.rmtree(folder, ignore_errors=True)


def test_any_further_key_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown key 'workdir'"):
        InlineTarget.from_config("inline", {"type": "inline", "workdir": "x"}, tmp_path)
