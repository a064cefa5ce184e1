"""Who may import whom, and that the core needs no Airflow."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_mlpipe

ROOT = Path(__file__).resolve().parents[2]
EDGE = (
    "plugins",
    "hooks",
    "triggers",
    "operators",
    "sensors",
    "testing",
    "provider_info",
    "example_dags",
    "dag_templates",
)


def modules() -> list[str]:
    found = pkgutil.walk_packages(airflow_mlpipe.__path__, "airflow_mlpipe.", onerror=lambda name: None)
    return sorted(module.name for module in found if module.name.count(".example_dags") == 0)


def core_modules() -> list[str]:
    return [name for name in modules() if name.split(".")[1] not in EDGE]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_floors_only_look_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


def test_core_imports_without_airflow() -> None:
    names = core_modules()
    assert "airflow_mlpipe.cli.main" in names
    done = run_python(
        f"import sys, importlib\nsys.modules['airflow'] = None\n[importlib.import_module(name) for name in {names!r}]"
    )
    assert done.returncode == 0, done.stderr


def test_command_imports_no_airflow_and_no_azure() -> None:
    done = run_python(
        "import sys, airflow_mlpipe.cli.main\n"
        "print([name for name in ('airflow', 'azure', 'jinja2', 'httpx') if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.airflow
def test_every_module_imports_in_a_fresh_interpreter() -> None:
    code = f"import importlib\n[importlib.import_module(name) for name in {modules()!r}]"
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_all_lists_what_is_there() -> None:
    packages = [
        name for name in core_modules() if hasattr(sys.modules.get(name) or __import__(name, fromlist=["x"]), "__all__")
    ]
    assert packages
    for name in packages:
        module = sys.modules[name]
        assert list(module.__all__) == sorted(set(module.__all__)), (
            f"{name}.__all__ is not sorted or names something twice"
        )
        missing = [public for public in module.__all__ if not hasattr(module, public)]
        assert not missing, f"{name}.__all__ names {missing}, which are not there"
