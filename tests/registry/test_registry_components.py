"""Components by name and version: kept with their code, never changed, laid down as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.datastores.base import Datastore
from airflow_mlpipe.datastores.local import LocalDatastore
from airflow_mlpipe.datastores.memory import MemoryDatastore
from airflow_mlpipe.errors import ConfigError, DataError, SpecError
from airflow_mlpipe.registry.components import ComponentRegistry
from airflow_mlpipe.spec.component_files import read_component
from airflow_mlpipe.testing.azurite import AzuriteServer

TRAIN = """
name: train
type: command
description: Trains.
{version}inputs: {{data: {{type: uri_folder}}}}
outputs: {{model: {{type: mlflow_model}}}}
code: ../src
additional_includes: [../shared/lib.py]
environment: {{pip_requirements: ../requirements.txt}}
command: python train.py ${{{{inputs.data}}}} ${{{{outputs.model}}}}
"""


@pytest.fixture(params=["local", "memory", "azurite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Datastore:
    if request.param == "azurite":
        azurite: AzuriteServer = request.getfixturevalue("azurite")
        return azurite.datastore("store", memo=tmp_path / "memo.sqlite")
    return LocalDatastore("store", tmp_path / "store") if request.param == "local" else MemoryDatastore("store")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "src/train.py": "print(1)\n",
        "src/notes.tmp": "left out\n",
        "src/.gitignore": "*.tmp\n",
        "shared/lib.py": "x = 1\n",
        "shared/other.py": "not named\n",
        "requirements.txt": "pandas==2.2.3\n",
        "components/train.yml": TRAIN.format(version=""),
    }.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    return tmp_path / "project"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_component_is_kept_with_what_it_names_and_laid_down_again(
    store: Datastore, project: Path, tmp_path: Path
) -> None:
    registry = ComponentRegistry(store)
    version, new = registry.register(read_component(project / "components/train.yml"))
    assert (version.name, version.version, version.kind, version.file, new) == (
        "train",
        "1",
        "command",
        "components/train.yml",
        True,
    )
    target = registry.lay_down(version, tmp_path / "registered")
    assert target == tmp_path / "registered/train/1"
    kept = {"components/train.yml", "src/train.py", "shared/lib.py", "requirements.txt", "mlpipe-component.json"}
    assert files(target) - {"src/.gitignore"} == kept
    assert (target / "src/train.py").read_text() == "print(1)\n"
    assert registry.lay_down(version, tmp_path / "registered") == target


def test_the_same_content_is_the_same_version_and_another_is_the_next(store: Datastore, project: Path) -> None:
    registry = ComponentRegistry(store)
    first, _ = registry.register(read_component(project / "components/train.yml"))
    assert registry.register(read_component(project / "components/train.yml")) == (first, False)
    (project / "src/train.py").write_text("print(2)\n")
    second, new = registry.register(read_component(project / "components/train.yml"))
    assert (second.version, new) == ("2", True)
    assert registry.get("train") == second
    assert registry.get("train", "1") == first
    assert registry.get("train", "7") is None
    assert [version.version for version in registry.versions("train")] == ["1", "2"]
    assert registry.names() == ["train"]


def test_a_version_that_the_author_names_never_changes(store: Datastore, project: Path) -> None:
    registry = ComponentRegistry(store)
    file = project / "components/train.yml"
    file.write_text(TRAIN.format(version="version: 1.10\n"))
    version, _ = registry.register(read_component(file))
    assert version.version == "1.10"
    (project / "src/train.py").write_text("print(2)\n")
    with pytest.raises(ConfigError, match=r"Version 1\.10 of the component 'train' is there with other content"):
        registry.register(read_component(file))
    file.write_text(TRAIN.format(version="version: 2.0\n"))
    assert registry.register(read_component(file))[0].version == "2.0"


def test_a_damaged_snapshot_is_not_laid_down(project: Path, tmp_path: Path) -> None:
    store = LocalDatastore("store", tmp_path / "store")
    registry = ComponentRegistry(store)
    version, _ = registry.register(read_component(project / "components/train.yml"))
    [script] = (tmp_path / "store").rglob("src/train.py")
    script.chmod(0o644)
    script.write_text("other\n")
    with pytest.raises(DataError, match="snapshot of the component train:1 is damaged"):
        registry.lay_down(version, tmp_path / "registered")
    assert files(tmp_path / "registered") == set()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: train\n", ""), "the key 'name' is missing"),
        (("../src", "../gone"), "there is no folder '../gone'"),
        (("type: command", "type: sweep"), "components of type 'sweep' are not supported yet"),
        (("outputs:", "ouputs:"), "unknown key 'ouputs'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(project: Path, change: tuple[str, str], words: str) -> None:
    file = project / "components/train.yml"
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(SpecError) as caught:
        read_component(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
