"""Lets Airflow load new DAG files before they replace the old ones, in one other process: we never import Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator.drift import DagFile
from airflow_mlpipe.generator.write import write_file

_TIMEOUT = 300
_TAIL = 2000


class Loader:
    """A process that has imported Airflow and loads folders of DAG files; started at the first one at the latest.

    It starts in a temporary folder: in a DAG folder, ``calendar.py`` would hide Python's own.

    :param command: gets the folder where the files will lie (they may import what is there) as its last word. For
        each line on its input, a folder of files to load, it prints ``{file name: error}`` as a line of JSON.
    :param home: that folder.
    """

    def __init__(self, command: Sequence[str], home: Path) -> None:
        self._command = [*command, str(home.resolve())]
        self._scratch = tempfile.TemporaryDirectory(prefix="mlpipe-check-")
        self._folder = Path(self._scratch.name)
        self._process: subprocess.Popen[str] | None = None
        self._batches = 0

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._scratch.cleanup()

    def start(self) -> None:
        """Start the process if it does not run yet: Airflow takes seconds to come up, in which others may work."""
        self._process = self._process or self._start()

    def errors(self, files: Sequence[DagFile]) -> dict[Path, str]:
        """Return what Airflow says against each file; files that load are absent.

        :raises ConfigError: if Airflow itself does not come up, or does not answer in time.
        """
        if not files:
            return {}
        self._batches += 1
        folder = self._folder / f"batch_{self._batches}"
        for file in files:
            write_file(folder / file.path.name, file.text, durable=False)
        found = self._ask(folder)
        return {file.path: found[file.path.name] for file in files if file.path.name in found}

    def _ask(self, folder: Path) -> dict[str, str]:
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(_TIMEOUT, process.kill)
        watch.start()
        try:
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            return dict(json.loads(process.stdout.readline()))
        except (OSError, ValueError):
            pass  # told below
        finally:
            watch.cancel()
        raise ConfigError(self._what_happened(process))

    def _what_happened(self, process: subprocess.Popen[str]) -> str:
        process.kill()
        process.wait()
        tail = (self._folder / "said").read_text(errors="replace")[-_TAIL:].strip()
        did_not = f"could not be started to check the new DAG files, or did not answer within {_TIMEOUT} s"
        return f"Airflow {did_not}. It said:\n{tail}"

    def _start(self) -> subprocess.Popen[str]:
        with (self._folder / "said").open("w") as said:
            return subprocess.Popen(  # noqa: S603 - a command of ours
                self._command,
                env=_environment(self._folder),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )


def _environment(scratch: Path) -> dict[str, str]:
    """The user's own Airflow settings, but no example DAGs, and no ~/airflow made by a mere check."""
    environment = {**os.environ, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment.setdefault("AIRFLOW_HOME", str(scratch / "home"))
    if "PYTHONPATH" in environment:
        entries = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in entries if entry)
    return environment
