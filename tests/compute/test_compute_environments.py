"""Environments of steps: built once, never used half-built, and clear words when they cannot be built."""

import asyncio
import fcntl
import logging
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.environments import EnvironmentCache
from airflow_mlpipe.compute.local import LocalTarget
from airflow_mlpipe.environment import EnvironmentDefinition
from airflow_mlpipe.errors import EnvironmentBuildError
from airflow_mlpipe.testing.jobs import wait_for, whole_log

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def definition(tmp_path):
    """An environment with one package, from a wheel made here."""
    wheel = tmp_path / "tinything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinything.py", "VALUE = 'tiny'\n")
        archive.writestr("tinything-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        archive.writestr(
            "tinything-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tinything-1.0.dist-info/RECORD", "")
    return EnvironmentDefinition(PYTHON, (f"tinything @ {wheel.as_uri()}",))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    return EnvironmentCache(tmp_path / "environments")


def build(cache, definition):
    return asyncio.run(cache.interpreter(definition))


def built(caplog):
    return [record.message for record in caplog.records if record.message.startswith("Building the environment")]


def test_a_step_runs_with_the_software_it_asked_for(tmp_path, definition, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    target = LocalTarget("here", tmp_path / "jobs")
    code = "import os, sys, tinything; print(tinything.VALUE, sys.prefix == os.environ['VIRTUAL_ENV'])"

    async def case():
        handle = await target.submit(JobSpec(f'python -c "{code}"; pip', environment=definition), "mlp-env")
        await wait_for(target, handle)
        return await whole_log(target, handle)

    assert asyncio.run(case()).startswith(b"tiny True\n")


def test_steps_at_once_build_once(cache, definition, caplog):
    caplog.set_level(logging.INFO)

    async def case():
        others = [EnvironmentCache(cache.folder) for _ in range(3)]
        return await asyncio.gather(*(each.interpreter(definition) for each in [cache, *others]))

    assert len(set(asyncio.run(case()))) == 1
    assert len(built(caplog)) == 1
    assert "Another process is building the same environment; waiting for it." in caplog.messages
    assert any("tinything==1.0" in message for message in caplog.messages)
    build(cache, definition)
    assert len(built(caplog)) == 1


def test_what_is_half_built_is_built_again(cache, definition, caplog):
    caplog.set_level(logging.INFO)
    place = cache.path(definition)
    (place / "software" / "bin").mkdir(parents=True)
    (place / "software" / "bin" / "python").write_text("#!/bin/sh\nexit 9\n")
    python = build(cache, definition)
    assert len(built(caplog)) == 1
    assert python.read_bytes()[:4] == b"\x7fELF"


def test_an_environment_whose_interpreter_was_removed_is_built_again(cache, definition, caplog):
    caplog.set_level(logging.INFO)
    python = build(cache, definition)
    python.unlink()
    python.symlink_to("/no/such/python")
    build(cache, definition)
    assert len(built(caplog)) == 2
    assert python.exists()


def test_nothing_is_touched_while_an_installer_of_a_dead_process_still_writes(cache, definition):
    place = cache.path(definition)
    place.mkdir(parents=True)
    (place / "half").touch()

    async def case():
        with place.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = asyncio.ensure_future(cache.interpreter(definition))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            assert (place / "half").exists()
        return await waiting

    assert asyncio.run(case()).exists()
    assert not (place / "half").exists()


def test_the_same_content_is_the_same_environment_and_any_other_is_not(cache):
    first = EnvironmentDefinition("3.11", ("a==1", "b==2"))
    assert cache.path(first) == cache.path(EnvironmentDefinition("3.11", ("b==2", "a==1")))
    others = [
        EnvironmentDefinition("3.12", ("a==1", "b==2")),
        EnvironmentDefinition("3.11", ("a==1",)),
        EnvironmentDefinition("3.11", ("a==1", "b==2"), constraints=("c<2",)),
    ]
    assert cache.path(first) not in {cache.path(other) for other in others}


def test_a_failed_build_shows_the_installers_words_and_leaves_nothing_to_use(cache):
    definition = EnvironmentDefinition(PYTHON, ("no-such-package-at-all==1",))
    with pytest.raises(EnvironmentBuildError) as caught:
        build(cache, definition)
    text = str(caught.value)
    assert "'uv pip install' ended with exit code 1" in text
    assert "  | " in text
    assert "no-such-package-at-all" in text
    log = Path(text.rpartition("The full output is in ")[2].rstrip("."))
    assert "no-such-package-at-all" in log.read_text()
    assert not (cache.path(definition) / "software").exists()
    with pytest.raises(EnvironmentBuildError):
        build(cache, definition)


def test_a_python_that_is_not_there_is_named(cache, monkeypatch):
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(EnvironmentBuildError, match=r"3\.77"):
        build(cache, EnvironmentDefinition("3.77"))


def test_an_image_is_refused_with_what_to_do(cache):
    with pytest.raises(EnvironmentBuildError, match=r"cannot use the image 'repo/image:1'.*pip_requirements"):
        build(cache, EnvironmentDefinition(image="repo/image:1"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, definition):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentBuildError, match="cannot be built in"):
        build(EnvironmentCache(tmp_path / "file" / "environments"), definition)


def test_conda_packages_without_conda_say_what_to_move(cache, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EnvironmentBuildError, match=r"conda packages cudatoolkit=11, gdal .*move these packages under"):
        build(cache, EnvironmentDefinition("3.11", conda=("cudatoolkit=11", "gdal")))


@pytest.mark.parametrize(("tool", "verb"), [("micromamba", "create"), ("conda", "env create")])
def test_conda_packages_go_to_the_conda_that_is_there(cache, monkeypatch, tmp_path, tool, verb):
    program = tmp_path / "bin" / tool
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nfor word; do [ "$last" = --prefix ] && prefix="$word"; last="$word"; done\n'
        f'mkdir -p "$prefix/bin"; ln -s {sys.executable} "$prefix/bin/python"; echo "$@" > words\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    definition = EnvironmentDefinition("3.11", ("pandas==2",), ("gdal",), None, ("numpy<2",), ("conda-forge",))
    python = build(cache, definition)
    assert python.exists()
    place = cache.path(definition)
    software = place / "software"
    assert (place / "words").read_text().strip() == f"{verb} --yes --prefix {software} --file environment.yml"
    assert yaml.safe_load((place / "environment.yml").read_text()) == {
        "channels": ["conda-forge"],
        "dependencies": ["python=3.11", "gdal", "pip", {"pip": ["pandas==2", "-c constraints.txt"]}],
    }


def test_an_installer_sees_no_secret_of_the_caller(cache, monkeypatch, tmp_path, definition):
    program = tmp_path / "bin" / "conda"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nenv\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("AIRFLOW_CONN_DB", "secret")
    monkeypatch.setenv("UV_INDEX_URL", "https://index.example/simple")
    conda = EnvironmentDefinition("3.11", conda=("gdal",))
    with pytest.raises(EnvironmentBuildError):
        build(cache, conda)
    said = (cache.path(conda) / "build.log").read_text()
    assert "secret" not in said
    assert "UV_INDEX_URL=https://index.example/simple" in said
