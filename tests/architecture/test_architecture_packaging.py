"""What a user gets: the wheel, the source distribution, the constraints."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TREE = ("airflow_mlpipe", "dag_templates", "example_dags", "setup.cfg", "pyproject.toml", "README.md")
NEEDED = (
    "airflow_mlpipe/py.typed",
    "airflow_mlpipe/provider_info.py",
    "airflow_mlpipe/compute/far_side/launcher.py",
    "airflow_mlpipe/dag_templates/general.py.j2",
    "airflow_mlpipe/dag_templates/retraining.py.j2",
    "airflow_mlpipe/dag_templates/batch_scoring.py.j2",
    "airflow_mlpipe/dag_templates/champion_challenger.py.j2",
    "airflow_mlpipe/dag_templates/data_ingestion.py.j2",
    "airflow_mlpipe/dag_templates/many_models.py.j2",
    "airflow_mlpipe/dag_templates/init/general/pipeline.yml",
    "airflow_mlpipe/dag_templates/init/data_ingestion/landing/sales-2026-01-05.csv",
    "airflow_mlpipe/dag_templates/init_every/src/dot_amlignore",
    "airflow_mlpipe/dag_templates/init_every/tests/test_pipeline.py",
    "airflow_mlpipe/example_dags/flight_delays/pipeline.yml",
    "airflow_mlpipe/example_dags/flight_delays/components/train.yml",
    "airflow_mlpipe/example_dags/flight_delays/src/train/train.py",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it as pip does."""
    folder = tmp_path_factory.mktemp("build")
    ignore = shutil.ignore_patterns("__pycache__", ".mlpipe", "*.egg-info")
    for name in TREE:
        source, copy = ROOT / name, folder / "tree" / name
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, copy)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "tree")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


def test_wheel_holds_everything_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("airflow_mlpipe-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in NEEDED if name not in names] == []
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"airflow_mlpipe"}
    assert [name for name in names if "__pycache__" in name or "/.mlpipe/" in name or name.endswith(".pyc")] == []


def test_wheel_has_the_entry_points_and_the_metadata(built: Path) -> None:
    (wheel,) = built.glob("airflow_mlpipe-*.whl")
    archive = zipfile.ZipFile(wheel)
    (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    entries = configparser.ConfigParser()
    entries.read_string(archive.read(f"{folder}/entry_points.txt").decode())
    assert entries["console_scripts"]["mlpipe"] == "airflow_mlpipe.cli.main:main"
    assert entries["apache_airflow_provider"]["provider_info"] == "airflow_mlpipe.provider_info:get_provider_info"
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "\nName: airflow-mlpipe\n" in metadata
    assert "\nRequires-Python: >=3.10\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata or "\nLicense: Apache-2.0\n" in metadata


def test_sdist_builds_the_same_wheel(built: Path) -> None:
    (sdist,) = built.glob("airflow_mlpipe-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in NEEDED if name not in names] == []


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pin = re.compile(r"[a-z0-9][a-z0-9.-]*==[A-Za-z0-9.+!]+( ; [a-z_.'<>=!*0-9A-Z() -]+)?")
    assert [line for line in lines if not pin.fullmatch(line)] == []
    assert lines == sorted(lines, key=lambda line: re.split("[= ]", line)[0])


def test_every_dependency_is_pinned() -> None:
    pinned = {re.split("[= ]", line)[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert {name for name in declared() if name not in pinned} == set()


def test_every_dependency_has_its_reason() -> None:
    (decision,) = (ROOT / "docs" / "decisions").glob("002-*.md")
    text = decision.read_text(encoding="utf-8").lower()
    assert {name for name in declared() if f"`{name}`" not in text} == set()


def declared() -> set[str]:
    """Every distribution that setup.cfg names, normalised."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    blocks = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    return {re.sub("[-_.]+", "-", Requirement(line).name).lower() for line in lines}


def test_every_import_is_declared() -> None:
    """What comes along with something else today may be gone tomorrow."""
    providers = packages_distributions()
    known = declared() | {"airflow-mlpipe", "apache-airflow-core", "apache-airflow-task-sdk", "pydantic-core"}
    missing = {}
    for path in (ROOT / "airflow_mlpipe").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names):
            owners = {re.sub("[-_.]+", "-", owner).lower() for owner in providers.get(top, [])}
            if owners and not owners & known:
                missing[f"{path.relative_to(ROOT)}: {top}"] = sorted(owners)
    assert missing == {}
