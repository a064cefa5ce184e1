"""The driver of parallel steps, run as a job runs it: a process of its own with real worker processes."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_mlpipe.compute import parallel_driver

DRIVER = Path(parallel_driver.__file__)
ECHO = "import os\ndef run(batch):\n    return [os.path.basename(path) for path in batch]\n"


@dataclass
class Step:
    folder: Path

    def __post_init__(self) -> None:
        for name in ("code", "job", "input"):
            (self.folder / name).mkdir()

    def files(self, count: int) -> list[str]:
        names = [f"f{number:03d}.txt" for number in range(count)]
        for name in names:
            (self.folder / "input" / name).write_text(name)
        return names

    def run(self, script: str, **changes: object) -> subprocess.CompletedProcess[str]:
        (self.folder / "code" / "score.py").write_text(script)
        settings = {
            "entry_script": "score.py",
            "input": str(self.folder / "input"),
            "arguments": [],
            "mini_batch_size": 2,
            "processes": 2,
            "max_retries": 2,
            "timeout": 60,
            "error_threshold": -1,
            "mini_batch_error_threshold": -1,
            "append_row_file": str(self.folder / "out" / "rows.txt"),
            **changes,
        }
        (self.folder / "job" / "parallel.json").write_text(json.dumps(settings))
        return subprocess.run(
            [sys.executable, str(DRIVER), str(self.folder / "job" / "parallel.json")],
            cwd=self.folder / "code",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "NOTES": str(self.folder)},
        )

    @property
    def rows(self) -> list[str] | None:
        file = self.folder / "out" / "rows.txt"
        return file.read_text().splitlines() if file.exists() else None


@pytest.fixture
def step(tmp_path):
    return Step(tmp_path)


def test_rows_come_in_the_order_of_the_input_whoever_is_first(step):
    names = step.files(7)
    slow_first = ECHO.replace("    return", "    import time; time.sleep(0.3 if 'f000' in batch[0] else 0)\n    return")
    done = step.run(slow_first)
    assert done.returncode == 0, done.stdout
    assert step.rows == names
    assert done.stdout.splitlines()[-1] == "parallel: all 4 mini-batches done: 0 failed, 0 failed items, 0 retries"


def test_init_runs_once_in_each_process_and_shutdown_at_the_end(step):
    step.files(8)
    script = """
import os
def note(what):
    with open(os.environ["NOTES"] + "/notes", "a") as stream:
        stream.write(f"{what} {os.getpid()}\\n")
def init():
    note("init")
def run(batch):
    note("run")
    return batch
def shutdown():
    note("shutdown")
"""
    assert step.run(script).returncode == 0
    notes = [line.split() for line in (step.folder / "notes").read_text().splitlines()]
    for pid in {pid for _, pid in notes}:
        words = [word for word, own in notes if own == pid]
        assert words[0] == "init"
        assert words[-1] == "shutdown"
        assert set(words[1:-1]) <= {"run"}
    assert sum(word == "run" for word, _ in notes) == 4


def test_the_script_sees_its_arguments_its_neighbours_and_absolute_paths(step):
    step.files(1)
    (step.folder / "code" / "neighbour.py").write_text("NAME = 'neighbour'")
    script = """
import os, sys
import neighbour
def run(batch):
    print("said by the script")
    return [[sys.argv[1:], neighbour.NAME, os.path.isabs(batch[0]), sys.stdin.read()]]
"""
    done = step.run(script, arguments=["--text", "O'Brien $(touch x)\n", "ü"])
    assert step.rows == [str([["--text", "O'Brien $(touch x)\n", "ü"], "neighbour", True, ""])]
    assert "said by the script" in done.stdout


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise ValueError('bad luck')", "run() raised: ValueError: bad luck"),
        ("raise SystemExit(42)", "run() raised: SystemExit: 42"),
        ("os._exit(5)", "the process left with exit code 5"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9, as happens when memory runs out"),
        ("import time; time.sleep(60)", "run() took longer than 1 s"),
        ("return None", "run() returned NoneType"),
        ("return 'text'", "run() returned str"),
    ],
)
def test_a_mini_batch_that_fails_once_is_tried_again_and_its_rows_come_once(step, fault, words):
    names = step.files(6)
    script = f"""
import os
def run(batch):
    mark = os.environ["NOTES"] + "/failed"
    if "f002" in batch[0] and not os.path.exists(mark):
        open(mark, "w").close()
        {fault}
    return [os.path.basename(path) for path in batch]
"""
    done = step.run(script, timeout=1)
    assert done.returncode == 0, done.stdout
    assert step.rows == names
    (told,) = [line for line in done.stdout.splitlines() if "mini-batch 2 failed, try 1 of 3: " in line]
    assert words in told
    assert done.stdout.splitlines()[-1].endswith("0 failed, 0 failed items, 1 retries")


ALWAYS = "import os\ndef run(batch):\n    if 'f00{n}' in batch[0]: raise ValueError('always')\n    return batch\n"


@pytest.mark.parametrize(
    ("thresholds", "code"),
    [
        ({}, 0),
        ({"error_threshold": 2}, 0),
        ({"error_threshold": 1}, 1),
        ({"mini_batch_error_threshold": 1}, 0),
        ({"mini_batch_error_threshold": 0}, 1),
    ],
)
def test_thresholds_count_items_and_mini_batches(step, thresholds, code):
    step.files(6)
    done = step.run(ALWAYS.replace("{n}", "2"), max_retries=1, **thresholds)
    assert done.returncode == code, done.stdout
    last = done.stdout.splitlines()[-1]
    if code:
        assert last.startswith("parallel: Stopped: ")
        assert f"{next(iter(thresholds))} allows" in last
        assert step.rows is None
    else:
        assert last == "parallel: all 3 mini-batches done: 1 failed, 2 failed items, 1 retries"
        assert len(step.rows) == 4


def test_fewer_elements_than_files_are_failed_items_without_a_retry(step):
    step.files(4)
    script = "def run(batch):\n    return batch[:1]\n"
    done = step.run(script)
    assert done.stdout.splitlines()[-1].endswith("2 failed, 2 failed items, 0 retries")
    assert len(step.rows) == 2
    assert step.run(script, error_threshold=1).returncode == 1


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("def init():\n    raise RuntimeError('no model here')\ndef run(b): return b\n", "RuntimeError: no model here"),
        (
            "import os\ndef init():\n    os._exit(7)\ndef run(b): return b\n",
            "init() did not end: the process left with",
        ),
        ("def score(b): return b\n", "has no function run(mini_batch)"),
        ("def run(b) return b\n", "SyntaxError"),
        ("import no_such_module_here\n", "No module named 'no_such_module_here'"),
    ],
)
def test_a_script_that_cannot_start_ends_the_job_with_its_own_message(step, script, words):
    step.files(4)
    done = step.run(script)
    assert done.returncode == 1
    assert words in done.stdout.splitlines()[-1]
    assert step.rows is None


def test_a_missing_script_or_input_is_one_line(step):
    done = step.run(ECHO, entry_script="scores.py")
    assert done.returncode == 1
    assert done.stdout == "parallel: The entry script scores.py is not in the step's code folder.\n"
    done = step.run(ECHO, input="/no/such/folder")
    assert done.stdout == "parallel: The input /no/such/folder does not exist.\n"


def test_an_empty_input_makes_an_empty_file_and_a_single_file_is_an_input(step):
    assert step.run(ECHO).returncode == 0
    assert step.rows == []
    step.files(1)
    assert step.run(ECHO, input=str(step.folder / "input" / "f000.txt")).returncode == 0
    assert step.rows == ["f000.txt"]


def test_files_of_sub_folders_are_sorted_by_their_path(step):
    for name in ("b/1", "a/2", "a-b", "c"):
        (step.folder / "input" / name).parent.mkdir(exist_ok=True)
        (step.folder / "input" / name).touch()
    done = step.run("import os\ndef run(b):\n    return [os.path.relpath(p, os.path.dirname(p)+'/..') for p in b]\n")
    assert done.returncode == 0, done.stdout
    assert [row.rpartition("/")[2] for row in step.rows] == ["a-b", "2", "1", "c"]


def test_without_an_append_row_file_the_script_keeps_its_own_output(step):
    step.files(3)
    assert step.run(ECHO, append_row_file=None).returncode == 0
    assert step.rows is None


def test_a_data_frame_and_an_array_give_rows():
    class Frame:
        columns = ("a", "b")

        def __len__(self):
            return 2

        def to_csv(self, sep, header, index):
            assert (header, index) == (False, False)
            return sep.join(["1", "x"]) + "\n" + sep.join(["2", "y"]) + "\n"

    class Array:
        def tolist(self):
            return [1.5, 2]

    assert parallel_driver.rows_of(Frame()) == (2, "1 x\n2 y\n")
    assert parallel_driver.rows_of(Array()) == (2, "1.5\n2\n")


def test_what_travels_needs_python_3_8_and_its_standard_library_alone():
    tree = ast.parse(DRIVER.read_text(), feature_version=(3, 8))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in imported} <= sys.stdlib_module_names
