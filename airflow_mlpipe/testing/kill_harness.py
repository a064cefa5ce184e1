"""Workers killed at random moments: what is left must be one job a run, and every result.

A nursery process imports everything once and forks a worker for each try; a worker begins a step, follows its job and
finishes it, exactly as an operator does, and is killed with its process group at a random moment. The next try of the
same run is another worker, until one gets through. Works for every target whose jobs write ``submissions.jsonl``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo, Ticket
from airflow_mlpipe.execution.turns import Waiting
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

_PIPELINE, _STEP = "kills", "work"
_PATIENCE = 120.0
_UNDISTURBED = 20


@dataclass
class Report:
    """What the kills did.

    :ivar kills: workers that were killed.
    :ivar runs: runs that were begun; each must have started one job.
    :ivar duplicates: run keys that were started more than once, and how often.
    :ivar extra: jobs that were started beyond one for each run.
    :ivar lost: runs without the right result.
    :ivar seconds: that it took.
    """

    kills: int = 0
    runs: int = 0
    duplicates: dict[str, int] = field(default_factory=dict)
    extra: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was done twice and nothing was lost."""
        return not self.duplicates and not self.extra and not self.lost


class KillHarness:
    """Runs steps on one compute target while their workers are killed.

    :param settings: of a workspace, plain values; its default compute target is the one that is tried.
    :param folder: of the workspace.
    :param workdir: folder of the target's jobs, with ``submissions.jsonl`` in it.
    :param seed: of the moments.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path, workdir: Path, seed: int) -> None:
        self.settings, self.folder, self.workdir = dict(settings), folder, workdir
        self.moments = random.Random(seed)  # noqa: S311 - moments, no secrets
        self.log = folder / "workers.log"

    def run(self, kills: int) -> Report:
        """Kill so many workers, let every run come to its end, and look at what is there."""
        started = time.monotonic()
        report = Report()
        with _Nursery(self.settings, self.folder, self.log) as nursery:
            span = self._span(nursery, report)
            while report.kills < kills:
                run_id = self._next(report)
                for tries in range(1000):
                    moment = self.moments.uniform(0, span) if report.kills < kills else _PATIENCE
                    began = time.monotonic()
                    killed = nursery.attempt(run_id, moment)
                    report.kills += killed is None
                    if killed == 0 and tries == 0:  # the first run of all is slower than those that follow
                        span = min(span, (time.monotonic() - began) * 1.2)
                    if killed == 0:
                        break
                    assert killed is None or tries < _UNDISTURBED, f"{run_id} does not end, see {self.log}"
        self._check(report)
        report.seconds = time.monotonic() - started
        return report

    def _span(self, nursery: _Nursery, report: Report) -> float:
        """Return how long a run takes here that nobody disturbs, and a little more."""
        began = time.monotonic()
        assert nursery.attempt(self._next(report), _PATIENCE) == 0, f"a run does not end by itself, see {self.log}"
        return (time.monotonic() - began) * 1.2

    def _next(self, report: Report) -> str:
        report.runs += 1
        return f"run-{report.runs:04d}"

    def _check(self, report: Report) -> None:
        journal = (self.workdir / "submissions.jsonl").read_text().splitlines()
        counted = Counter(json.loads(line)["key"] for line in journal)
        report.duplicates = {key: count for key, count in counted.items() if count > 1}
        report.extra = len(counted) - report.runs
        workspace = workspace_from_mapping(self.settings, self.folder)
        for number in range(1, report.runs + 1):
            run_id = f"run-{number:04d}"
            if _result(workspace, run_id, self.folder) != f"{run_id}\n":
                report.lost.append(run_id)


def _result(workspace: Workspace, run_id: str, folder: Path) -> str | None:
    record = workspace.runs.read_step(_PIPELINE, run_id, _STEP)
    if record is None or record.decision != "ran":
        return None
    to = folder / "results" / run_id
    workspace.datastore().download(record.outputs["result"].path, to)
    return (to / "text").read_text()


class _Nursery:
    """The process that forks workers; it has one thread, so that a fork is safe."""

    def __init__(self, settings: Mapping[str, Any], folder: Path, log: Path) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-m", __name__, json.dumps(dict(settings)), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )

    def __enter__(self) -> _Nursery:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(_PATIENCE)
        self.process.stdout.close()

    def attempt(self, run_id: str, moment: float) -> int | None:
        """Let a worker try a run; return its exit code, ``None`` if it was killed at the moment.

        :param moment: seconds after its start.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{run_id}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if not select.select([self.process.stdout], [], [], moment)[0]:
            os.killpg(pid, signal.SIGKILL)
        code = int(self.process.stdout.readline())
        return None if code == -signal.SIGKILL else code


def _try(settings: Mapping[str, Any], folder: Path, run_id: str) -> int:
    workspace = workspace_from_mapping(settings, folder)
    run = RunInfo(_PIPELINE, run_id, {"text": run_id}, {}, folder)
    step = checked(
        Step,
        {
            "name": _STEP,
            "command": "sleep 0.3; echo ${{inputs.text}} > ${{outputs.result}}/text",
            "inputs": {"text": "${{parent.inputs.text}}"},
            "outputs": {"result": {"type": "uri_folder"}},
        },
    )
    begun = begin(workspace, step, run, 0)
    if isinstance(begun, Waiting):
        return 3
    if isinstance(begun, Ticket):
        target = workspace.compute(begun.handle.target)
        status, _ = asyncio.run(watch(target, begun.handle, Polling(0.1, begun.deadline)))
        assert status is not None
        finish(workspace, step, run, begun, status)
    return 0


def _nurse(settings: Mapping[str, Any], folder: Path) -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            code = 1
            try:
                code = _try(settings, folder, line.strip())
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try goes on
                sys.stderr.write(f"{line.strip()}: {type(error).__name__}: {error}\n")
                sys.stderr.flush()
            finally:
                os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _nurse(json.loads(sys.argv[1]), Path(sys.argv[2]))
