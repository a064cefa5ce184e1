"""Functions of the user by name: imported when called, and only out of modules that may be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.operators import CommandOperator, callback

pytestmark = pytest.mark.airflow

MODULE = "called = []\ndef note(context):\n    called.append(context)\nnothing = None\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mlpipe_callbacks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mlpipe_callbacks", raising=False)
    return "mlpipe_callbacks"


def test_the_function_is_imported_when_it_is_called(module: str) -> None:
    named = callback(f"{module}.note")
    assert module not in sys.modules
    named({"run_id": "r"})  # type: ignore[arg-type]
    assert sys.modules[module].called == [{"run_id": "r"}]


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "mlpipe_callbacks_too.note", "mlpipe_callbacks", ""])
def test_other_modules_are_refused_when_the_dag_is_loaded(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\[mlpipe\] callback_modules"):
        callback(name)


def test_the_option_says_which_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MLPIPE__CALLBACK_MODULES", " acme.alerts , other ")
    assert repr(callback("acme.alerts.page")) == "callback('acme.alerts.page')"
    assert callback("other.deep.page").name == "other.deep.page"
    with pytest.raises(ConfigError, match=r"acme\.alerts, other"):
        callback("mlpipe_callbacks.page")
    monkeypatch.setenv("AIRFLOW__MLPIPE__CALLBACK_MODULES", "")
    with pytest.raises(ConfigError, match="none"):
        callback("other.page")


@pytest.mark.parametrize("function", ["missing", "nothing"])
def test_what_is_no_function_is_told(module: str, function: str) -> None:
    with pytest.raises(ConfigError, match=f"has no function '{function}'"):
        callback(f"{module}.{function}")({})  # type: ignore[arg-type]


def test_airflow_stores_a_dag_with_callbacks_the_same_each_time(project: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    def stored() -> Any:
        with project.dag(on_failure_callback=callback("mlpipe_callbacks.page")) as dag:
            CommandOperator(task_id="a", command="x", on_retry_callback=callback("mlpipe_callbacks.note"))
        return DagSerialization.to_dict(dag)

    once = stored()
    assert once == stored()
    assert once["dag"]["has_on_failure_callback"]
