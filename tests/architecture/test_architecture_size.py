"""The size budget: a file or function that outgrows it is a sign of a missing room."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_mlpipe"
MAX_FILE = 400
MEDIAN_FILE = 200
MAX_FUNCTION = 50
MAX_PARAMETERS = 6
MAX_OPERATOR_PARAMETERS = 12
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def sources() -> list[Path]:
    linked = {PACKAGE / "example_dags", PACKAGE / "dag_templates"}
    return [path for path in sorted(PACKAGE.rglob("*.py")) if not linked & set(path.parents)]


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_files_are_small() -> None:
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()
    }
    assert len(lines) > 40
    assert {name: count for name, count in lines.items() if count > MAX_FILE} == {}
    assert statistics.median(lines.values()) <= MEDIAN_FILE


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path, node in functions()
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    }
    assert long == {}


def test_functions_have_few_parameters() -> None:
    crowded = {}
    for path, node in functions():
        names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        room = path.relative_to(PACKAGE).parts[0]
        limit = MAX_OPERATOR_PARAMETERS if room in ("operators", "sensors") else MAX_PARAMETERS
        if count > limit:
            crowded[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = count
    assert crowded == {}


def test_no_room_for_leftovers() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.stem in FORBIDDEN_NAMES}
    assert names == set()


def test_nothing_is_unfinished() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sources()
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_nothing_is_unpickled() -> None:
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}, path
