"""The one long-lived program of a host: answers questions about the jobs of a working folder.

    agent WORKDIR

Reads one JSON object a line, ``{"id", "op", ...}``, and writes ``{"id", "result"}`` or ``{"id", "error", "kind"}``, in
the order in which the answers are known. The first line that it writes is ``{"mlpipe": ...}`` and says who it is. It
ends when its input does; jobs and builds that it started go on. Bytes travel in base64.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute.far_side.builder import Builder
from airflow_mlpipe.compute.far_side.delivery import Delivery
from airflow_mlpipe.compute.far_side.desk import Desk, LaunchError
from airflow_mlpipe.compute.far_side.digests import file_digest
from airflow_mlpipe.compute.far_side.job_folder import StillRunningError

_WORKERS = 16


class Agent:
    """Answers the questions of one connection.

    :param root: the working folder, absolute and without symlinks.
    :param program: the words that start the far side.
    """

    def __init__(self, root: Path, program: list[str]) -> None:
        self.desk = Desk(root, program)
        self.delivery = Delivery(self.desk)
        self.builder = Builder(root / "environments", program)
        self.operations: dict[str, Callable[..., Any]] = {
            "claimed": self.desk.claimed,
            "wanted": self.delivery.wanted,
            "stage": self.delivery.stage,
            "start": self.desk.start,
            "settle": self.settle,
            "give_up": self.desk.give_up,
            "read_log": self.read_log,
            "ask_to_end": self.desk.ask_to_end,
            "force_end": self.desk.force_end,
            "remove": self.delivery.remove,
            "outputs": self.desk.outputs,
            "environment": self.builder.look,
            "run": self.run,
        }

    def settle(self, keys: list[str]) -> list[Any]:
        """Return for each job its ending, and how long its log is."""
        endings = [asdict(each) if is_dataclass(each) else each for each in self.desk.settle(keys)]
        return list(zip(endings, self.desk.log_sizes(keys)))

    def read_log(self, key: str, offset: int, limit: int) -> list[Any]:
        """Return output from a byte on, and whether it is all there will ever be."""
        data, eof = self.desk.read_log(key, offset, limit)
        return [_text(data), eof]

    def run(self, command: list[str], given: str) -> list[Any]:
        """Run a short command, words and no shell."""
        code, output, errors = self.desk.run(command, base64.b64decode(given))
        return [code, _text(output), _text(errors)]

    def answer(self, line: bytes) -> dict[str, Any]:
        """Return the answer to one question."""
        number = None
        try:
            question = json.loads(line)
            number = question.pop("id")
            return {"id": number, "result": self.operations[question.pop("op")](**question)}
        except LaunchError as error:
            return {"id": number, "kind": "launch", "error": str(error)}
        except StillRunningError as error:
            return {"id": number, "kind": "running", "error": str(error)}
        except OSError as error:
            return {"id": number, "kind": "system", "error": str(error)}
        except Exception as error:  # noqa: BLE001 - the other side must not wait for an answer that never comes
            return {"id": number, "kind": "fault", "error": f"{type(error).__name__}: {error}"}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def main(arguments: list[str]) -> None:
    """Answer until the input ends."""
    root = Path(arguments[0])
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = os.path.abspath(sys.argv[0])  # noqa: PTH100 - of the archive, not of a module in it
    agent = Agent(root.resolve(), [sys.executable, "-I", "-S", "-B", own])
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    speaking = threading.Lock()

    def say(value: dict[str, Any]) -> None:
        with speaking:
            output.write(json.dumps(value).encode("ascii") + b"\n")
            output.flush()

    about = {"digest": file_digest(own)[1], "python": sys.executable, "version": platform.python_version()}
    say({"mlpipe": {**about, "workdir": str(agent.desk.root), "time": time.time()}})
    with ThreadPoolExecutor(_WORKERS) as pool:
        pool.submit(agent.delivery.clear)
        for line in sys.stdin.buffer:
            pool.submit(lambda line=line: say(agent.answer(line)))  # type: ignore[misc]
