"""``mlpipe.toml``: what is in it, and every fault at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.project.loading import find_project, load_project

GOOD = """\
paths = ["pipelines", "more/one.yml"]
output = "dags"
templates = "templates"
workspace = "workspace.yml"

[environments.dev]
dag_id_prefix = "dev_"
schedule = false
pool = "small"
compute = {gpu-box = "local"}

[environments.prod]
output = "../deployed"
schedule = {type = "cron", expression = "0 6 * * *", time_zone = "Europe/Berlin"}
tags = ["prod"]
[environments.prod.datastore]
landing = "landing_prod"
[environments.prod.pipelines.flights.parameters]
learning_rate = 0.2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("pipelines", "more", "templates", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "more/one.yml").touch()
    (tmp_path / "workspace.yml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "mlpipe.toml").write_text(text)
    return Path("mlpipe.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_project(write(folder, text))
    return str(caught.value).splitlines()


def test_a_project_is_found_from_a_folder_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_project(folder) is None
    write(folder, GOOD)
    monkeypatch.chdir(folder / "deep/er")
    project = find_project(Path.cwd())
    assert project is not None
    assert project.file == Path("../../mlpipe.toml")
    assert project.paths == (Path("../../pipelines"), Path("../../more/one.yml"))
    assert (project.output, project.templates, project.workspace) == (
        Path("../../dags"),
        Path("../../templates"),
        Path("../../workspace.yml"),
    )
    assert project.environment("prod").output == Path("../../../deployed")
    assert project.environment("dev").output is None
    with pytest.raises(ConfigError, match=r"no environment 'pord'; it has: dev, prod\. Did you mean 'prod'\?"):
        project.environment("pord")


def test_an_empty_file_means_the_folder_itself(folder: Path) -> None:
    project = load_project(write(folder, ""))
    assert project.paths == (Path(),)
    assert project.output is None
    assert dict(project.environments) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('outptu = "x"', "mlpipe.toml:1:1 error MLP021  unknown key 'outptu'. Did you mean 'output'?"),
        ("\n  output = 7", "mlpipe.toml:2:12 error MLP023  output: must be text, got 7."),
        ('paths = ["pipelines", "pipes"]', "mlpipe.toml:1:9 error MLP120  paths[1]: there is no file or folder"),
        ('templates = "mlpipe.toml"', "mlpipe.toml:1:13 error MLP120  templates: there is no folder"),
        ('workspace = "w.yml"', "mlpipe.toml:1:13 error MLP120  workspace: there is no file 'w.yml'"),
        ("paths = []", "mlpipe.toml:1:9 error MLP024  paths: must not be empty."),
        ('output = "a\n', "mlpipe.toml:1:12 error MLP003  not valid TOML: "),
        ("output = [", "mlpipe.toml:1:1 error MLP003  not valid TOML: "),
        ('[environments.dev]\nschedul = "x"', "mlpipe.toml:2:1 error MLP021  environments.dev: unknown key 'schedul'"),
        ('[environments."x y"]', "mlpipe.toml:1:1 error MLP030"),
        ("[environments.dev]\nschedule = true", "mlpipe.toml:2:12 error MLP023  environments.dev.schedule: must be"),
        ('[environments.dev]\nschedule = "0 6 32 * *"', "mlpipe.toml:2:12 error MLP140"),
        ("[environments.dev]\n\n\ndag_id_prefix = '/'", "mlpipe.toml:4:17 error MLP030"),
        ('[environments.dev]\ncompute = {a = "b c"}', "mlpipe.toml:2:11 error MLP024  environments.dev.compute.a: "),
        ("[environments.dev]\npool = [1]", "mlpipe.toml:2:8 error MLP023  environments.dev.pool: must be a name"),
        ("[environments.dev.pool]\ngpu = 1", "mlpipe.toml:1:1 error MLP023  environments.dev.pool: must be a name"),
        ("[environments.dev.datastore]\nlanding = '../x'", "mlpipe.toml:2:11 error MLP024"),
        ("environments.dev.tags = 'x'", "mlpipe.toml:1:25 error MLP023  environments.dev.tags: must be a list"),
        ("[environments]\n'dev'.pipelines.x.tag = []", "mlpipe.toml:2:1 error MLP021  environments.dev.pipelines.x: "),
        ('# a comment\ntext = """\noutput = 1\n"""', "mlpipe.toml:2:1 error MLP021  unknown key 'text'"),
        ('output = "dags\\u0000"', "mlpipe.toml:1:10 error MLP124"),
    ],
)
def test_each_fault_has_its_place(folder: Path, text: str, expected: str) -> None:
    (line,) = faults(folder, text)
    assert line.startswith(expected)


def test_all_faults_are_told_at_once(folder: Path) -> None:
    lines = faults(folder, 'paths = ["a", "b"]\nx = 1\n[environments.dev]\noutput = 1\n')
    assert [line.split()[0] for line in lines] == ["mlpipe.toml:1:9"] * 2 + ["mlpipe.toml:2:1", "mlpipe.toml:4:10"]


@pytest.mark.parametrize(("raw", "code"), [(b"\xff", "MLP002"), (b" " * 1_000_001, "MLP004")])
def test_what_is_no_text_is_refused(folder: Path, raw: bytes, code: str) -> None:
    (folder / "mlpipe.toml").write_bytes(raw)
    with pytest.raises(SpecError, match=code):
        load_project(Path("mlpipe.toml"))


def test_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere.toml:1:1 error MLP001 .*No such file"):
        load_project(Path("nowhere.toml"))
