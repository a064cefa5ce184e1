"""Environments on the far side: built there once, their build in the log here, clear words when they cannot be."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest

from airflow_mlpipe.compute.base import JobSpec, JobState
from airflow_mlpipe.compute.far_side import interpreters
from airflow_mlpipe.compute.far_side.interpreters import BuildError, fits, fitting_python
from airflow_mlpipe.compute.ssh.host import close_hosts
from airflow_mlpipe.compute.ssh.target import SSHTarget
from airflow_mlpipe.environment import EnvironmentDefinition
from airflow_mlpipe.errors import EnvironmentBuildError
from airflow_mlpipe.testing.jobs import unique_key, wait_for, whole_log

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def wheel(tmp_path):
    """A wheel made here, so that nothing is fetched."""
    wheel = tmp_path / "tinything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinything.py", "VALUE = 'tiny'\n")
        archive.writestr("tinything-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        archive.writestr(
            "tinything-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tinything-1.0.dist-info/RECORD", "")
    return wheel


@pytest.fixture
def box(sshd, tmp_path):
    """A target whose agent runs with the interpreter of the tests, and finds uv on PATH or not."""

    def make(*, uv):
        bin_folder = tmp_path / ("with-uv" if uv else "without-uv")
        bin_folder.mkdir()
        if uv:
            (bin_folder / "uv").symlink_to(Path(sys.executable).with_name("uv"))
        python = bin_folder / "python-of-the-host"
        python.write_text(
            f"#!/bin/sh\nexport PATH={bin_folder}:/usr/bin:/bin HOME={tmp_path} UV_OFFLINE=1 PIP_NO_INDEX=1\n"
            f'exec {sys.base_prefix}/bin/python{PYTHON} "$@"\n'
        )
        python.chmod(0o755)
        config = {"type": "ssh", **sshd.settings, "workdir": str(tmp_path / "far"), "python": str(python)}
        return SSHTarget.from_config("box", config, tmp_path)

    yield make
    close_hosts()


def definition(wheel, *more):
    return EnvironmentDefinition(PYTHON, (f"tinything @ {wheel.as_uri()}", *more))


async def run_with(target, environment):
    code = "import os, sys, tinything; print(tinything.VALUE, sys.prefix == os.environ['VIRTUAL_ENV'])"
    handle = await target.submit(JobSpec(f'python -c "{code}"', environment=environment), unique_key())
    return await wait_for(target, handle), await whole_log(target, handle)


@pytest.mark.parametrize("uv", [True, False])
def test_a_step_runs_with_the_software_it_asked_for_and_it_is_built_once(box, wheel, tmp_path, caplog, uv):
    caplog.set_level(logging.INFO, logger="airflow_mlpipe")
    target = box(uv=uv)

    async def case():
        return await asyncio.gather(*(run_with(target, definition(wheel)) for _ in range(3)))

    for status, log in asyncio.run(case()):
        assert status.state is JobState.SUCCEEDED, log
        assert log == b"tiny True\n"
    places = [path for path in (tmp_path / "far" / "environments").iterdir() if path.is_dir()]
    assert len(places) == 1
    assert "tinything" in caplog.text
    tool = "uv" if uv else "pip"
    log = (places[0] / "build.log").read_text()
    assert ("Using CPython" in log) == (tool == "uv"), log
    assert not (tmp_path / "far" / "environments" / f"{places[0].name}.failed").exists()


def test_a_build_that_fails_says_what_the_installer_said_and_can_be_tried_again(box, wheel):
    target = box(uv=True)
    for _ in range(2):
        with pytest.raises(EnvironmentBuildError) as caught:
            asyncio.run(run_with(target, definition(wheel, "no-such-package-at-all==1")))
        assert "'uv pip install' ended with exit code " in str(caught.value)
        assert "no-such-package-at-all" in str(caught.value)
        assert "127.0.0.1" in str(caught.value)


def test_an_image_is_refused_before_anybody_is_asked(box):
    with pytest.raises(EnvironmentBuildError, match="cannot use the image"):
        asyncio.run(run_with(box(uv=True), EnvironmentDefinition(image="repo/image:1")))


def test_conda_packages_without_conda_say_what_to_move(box):
    with pytest.raises(EnvironmentBuildError, match="move these packages under"):
        asyncio.run(run_with(box(uv=True), EnvironmentDefinition(PYTHON, conda=("gdal",))))


def test_a_build_outlives_the_connection_and_a_killed_builder_is_replaced(box, wheel, tmp_path):
    target = box(uv=False)
    killed = []

    def kill_the_builder():
        while not killed:
            begun = list(tmp_path.glob("far/environments/*/build.log"))
            for process in Path("/proc").glob("[0-9]*") if begun else []:
                with contextlib.suppress(OSError):
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    if b"build" in words and os.fsencode(begun[0].parent) in words:
                        os.kill(int(process.name), signal.SIGKILL)
                        killed.append(process.name)
            time.sleep(0.005)

    async def case():
        killing = asyncio.ensure_future(asyncio.to_thread(kill_the_builder))
        status, log = await run_with(target, definition(wheel))
        await killing
        return status, log

    status, log = asyncio.run(case())
    assert (status.state, log) == (JobState.SUCCEEDED, b"tiny True\n")
    assert killed


@pytest.mark.parametrize(
    ("wanted", "version", "fit"),
    [
        ("3.11", "3.11.4", True),
        ("3.11", "3.12.0", False),
        ("3.11.4", "3.11.4", True),
        ("3.11.4", "3.11.5", False),
        (">=3.10,<3.13", "3.12.1", True),
        (">=3.10,<3.13", "3.13.0", False),
        ("~=3.10", "3.12.1", True),
        ("==3.11.*", "3.11.9", True),
        ("!=3.11", "3.11.9", False),
        ("pypy", "3.11.9", False),
    ],
)
def test_a_version_is_compared_part_by_part(wanted, version, fit):
    assert fits(wanted, version) is fit


def test_a_python_that_is_not_there_is_named():
    with pytest.raises(BuildError, match=r"wants Python 3\.77"):
        fitting_python("3.77")
    assert interpreters.base_python(None) == fitting_python(None) == sys.executable
