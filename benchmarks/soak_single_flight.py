"""Many processes, one key, many rounds: one computation and one whole entry each time.

    python -m benchmarks.soak_single_flight --processes 20 --rounds 500 --folder /var/tmp/soak --store azurite

Every worker computes under a token of its own and writes it into several files, so an output that mixes two writers
shows. ``flight``: whole steps, which wait for each other. ``race``: results published without any waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.synchronize
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_mlpipe.content import DataRef
from airflow_mlpipe.execution.finish import finish
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.execution.turns import Turn, Waiting, await_turn
from airflow_mlpipe.execution.watch import Polling, watch
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.reuse.store import ReuseStore
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import Workspace, workspace_from_mapping

FILES = ("a", "b", "c")
_COMMAND = "for f in a b c; do echo $MLPIPE_JOB_KEY > ${{outputs.o}}/$f; done"


def open_workspace(folder: Path) -> Workspace:
    """Return a fresh view of the workspace that all workers share."""
    settings = {
        "datastores": {"workspaceblobstore": json.loads((folder / "store.json").read_text())},
        "compute": {"local": {"type": "local", "workdir": "jobs"}},
    }
    return workspace_from_mapping(settings, folder)


@contextmanager
def store_settings(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Give the settings of a store; Azurite runs as long as they are needed."""
    if kind == "local":
        yield {"type": "local", "path": "store"}
        return
    with AzuriteServer(folder / "azurite") as server:
        (folder / "secret").write_text(server.connection_string)
        (folder / "secret").chmod(0o600)
        yield server.settings(server.make_container(), {"connection_string": {"file": str(folder / "secret")}})


def run_step(workspace: Workspace, step: Step, run: RunInfo) -> StepRecord:
    """Live the whole life of a step, waiting for other runs where that saves work."""
    turn: Turn | None = None
    while isinstance(begun := begin(workspace, step, run, 0, waited=turn), Waiting):
        turn = asyncio.run(await_turn(workspace, begun, 0.2))
    if isinstance(begun, StepRecord):
        return begun
    target = workspace.compute(begun.handle.target)
    status, _ = asyncio.run(watch(target, begun.handle, Polling(0.1)))
    assert status is not None
    return finish(workspace, step, run, begun, status)


def tokens(workspace: Workspace, path: str) -> list[str]:
    """Return what the files of an output hold."""
    root = workspace.datastore().local_path(path)
    if root is None:
        root = Path(tempfile.mkdtemp(dir=workspace.folder)) / "output"
        workspace.datastore().download(path, root)
    return [(root / name).read_text().strip() for name in FILES]


def _flight(folder: Path, number: int, worker: int) -> dict[str, Any]:
    workspace = open_workspace(folder)
    step = checked(Step, {"name": "s", "command": _COMMAND, "outputs": {"o": {}}, "reuse_version": str(number)})
    done = run_step(workspace, step, RunInfo("soak", f"{number}-{worker}", {}, {}, folder))
    return {"key": done.key, "decision": done.decision, "tokens": tokens(workspace, done.outputs["o"].path)}


def _race(folder: Path, number: int, worker: int) -> dict[str, Any]:
    workspace = open_workspace(folder)
    store, key = ReuseStore(workspace.datastore(), "race"), f"{number:064d}"
    source = Path(tempfile.mkdtemp(dir=folder))
    for name in FILES:
        (source / name).write_text(f"{number}-{worker}\n")
    attempt = store.new_attempt()
    manifest = workspace.datastore().upload(source, f"{attempt}/o")
    record = ReuseRecord(
        key=key,
        nonce=secrets.token_hex(16),
        parts={},
        attempt=attempt,
        outputs={"o": DataRef(workspace.datastore().name, f"{attempt}/o", "uri_folder", manifest.summary)},
        pipeline="soak",
        run_id=str(worker),
        step="s",
        seconds=0.0,
        created=datetime.now(timezone.utc),
    )
    won = store.publish(record)
    found = store.find(key).record
    assert found is not None
    decision = "ran" if won else "reused"
    return {"key": key, "decision": decision, "tokens": tokens(workspace, found.outputs["o"].path)}


_MODES = {"flight": _flight, "race": _race}


def _work(mode: str, folder: Path, worker: int, rounds: int, gate: multiprocessing.synchronize.Barrier) -> None:
    with (folder / f"{mode}-{worker}.jsonl").open("w") as lines:
        for number in range(rounds):
            gate.wait(300)
            lines.write(json.dumps({"round": number, **_MODES[mode](folder, number, worker)}) + "\n")


def soak(mode: str, folder: Path, processes: int, rounds: int) -> dict[str, Any]:
    """Run all rounds and return what came of them.

    :returns: ``rounds``; ``computed``, how often a result was computed (``flight``) or accepted (``race``);
        ``entries``, how many different results the workers saw in all rounds together; ``mixed``, outputs that hold
        more than one token; ``missing``, workers that did not come to an end.
    """
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(processes)
    started = time.monotonic()
    workers = [context.Process(target=_work, args=(mode, folder, item, rounds, gate)) for item in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seen = [json.loads(line) for file in folder.glob(f"{mode}-*.jsonl") for line in file.read_text().splitlines()]
    return {
        "mode": mode,
        "processes": processes,
        "rounds": rounds,
        "computed": sum(item["decision"] == "ran" for item in seen),
        "entries": len({(item["round"], tuple(item["tokens"])) for item in seen}),
        "mixed": sum(len(set(item["tokens"])) != 1 for item in seen),
        "missing": processes * rounds - len(seen),
        "seconds": round(time.monotonic() - started, 1),
    }


def main(arguments: list[str]) -> int:
    """Print one line of JSON for each mode; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="on the file system to be tried; default: a temporary folder")
    parser.add_argument("--store", choices=("local", "azurite"), default="local")
    parser.add_argument("--mode", choices=sorted(_MODES), action="append", help="default: all")
    options = parser.parse_args(arguments)
    good = True
    for mode in options.mode or sorted(_MODES):
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="soak-") as name:
            folder = Path(name)
            with store_settings(options.store, folder) as store:
                (folder / "store.json").write_text(json.dumps(store))
                result = {"store": options.store, **soak(mode, folder, options.processes, options.rounds)}
        print(json.dumps(result), flush=True)
        good &= result["computed"] == result["entries"] == options.rounds and not result["mixed"] + result["missing"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
