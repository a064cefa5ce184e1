"""A real Ray cluster of one node on loopback, with token authentication: for tests, the demo and benchmarks.

Ray is installed in a virtual environment of its own and never into that of Airflow: the target speaks HTTP.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from airflow_mlpipe.compute.far_side import processes
from airflow_mlpipe.compute.far_side.launcher import inherited

_HOME_VARIABLE = "MLPIPE_RAY"
_MARK = "MLPIPE_RAY_SERVER"
_READY = ".mlpipe-ready"
_PATIENCE = 300.0
_PORTS = (
    "port",
    "dashboard-port",
    "ray-client-server-port",
    "node-manager-port",
    "object-manager-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")


def ensure_ray(constraints: Path, cache: Path | None = None) -> Path:
    """Return the folder of a virtual environment with Ray; it is made when it is not there yet.

    :param constraints: pins of Ray and of all that it needs.
    :param cache: folder of the environments, by default the user's cache folder. ``$MLPIPE_RAY`` names an environment
        that is there already.
    :raises RuntimeError: if Ray cannot be installed, with what the installer said.
    """
    named = os.environ.get(_HOME_VARIABLE)
    if named:
        return Path(named)
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = constraints.read_bytes() + sys.version.encode()
    folder = cache / "airflow-mlpipe" / f"ray-{hashlib.sha256(content).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _READY).exists():
            _uv(cache, "venv", "--clear", "--python", sys.executable, str(folder))
            python = str(folder / "bin" / "python")
            pins = ("--constraint", str(constraints))
            _uv(cache, "pip", "install", "--compile-bytecode", "--python", python, *pins, "ray[default]")
            (folder / _READY).touch()
    return folder


def _uv(cache: Path, *words: str) -> None:
    from uv import find_uv_bin  # noqa: PLC0415 - only where something is installed

    given = {**_surroundings(), "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(  # noqa: S603 - our own words
        [find_uv_bin(), "--quiet", *words], capture_output=True, text=True, check=False, env=given
    )
    if done.returncode:
        raise RuntimeError(f"Ray cannot be installed: uv {words[0]} said:\n{done.stderr[-3000:]}")


def _surroundings() -> dict[str, str]:
    """Return the environment of this process without what would lead another interpreter astray."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


class RayServer:
    """A Ray head with free ports and a token of its own.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param environment: folder of the virtual environment that Ray is installed in, see :func:`ensure_ray`.
    :param cpus: how many CPUs Ray may give away; more than the machine has lets small jobs run side by side.
    :ivar token: what every request must carry.
    """

    def __init__(self, environment: Path, cpus: int = 8) -> None:
        self.token = secrets.token_hex(32)
        self._environment = environment
        self._cpus = cpus
        self._mark = secrets.token_hex(16)
        self._ports: dict[str, int] = {}
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._opener = build_opener(ProxyHandler({}))

    def __enter__(self) -> RayServer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Address of the dashboard, which is also that of the Jobs API."""
        return f"http://127.0.0.1:{self._ports['dashboard-port']}"

    @property
    def python(self) -> Path:
        """The interpreter of Ray's environment."""
        return self._environment / "bin" / "python"

    def start(self) -> None:
        """Start it and wait until it takes jobs. After :meth:`stop` it comes back at the same address, knowing nothing.

        :raises RuntimeError: if it does not come up, with what it said.
        """
        self._ports = self._ports or dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        # The names of Ray's sockets may have 107 characters, so its folder must not lie deep.
        self._folder = Path(tempfile.mkdtemp(prefix="mlpipe-ray-"))
        with (self._folder / "head.log").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env=self._variables(),
            )
        self._await()

    def stop(self) -> None:
        """End it with all that it has started, and remove its folder; nothing happens if it is not running."""
        process, self._process = self._process, None
        if process is not None:
            processes.kill_all(frozenset([f"{_MARK}={self._mark}".encode()]), patience=30)
            process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Ask the dashboard; return the HTTP status and the text, 0 if it does not answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        asked = Request(f"{self.address}{path}", data=data, headers=headers, method=method)  # noqa: S310 - http
        try:
            with self._opener.open(asked, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError) as error:
            return 0, str(error)

    def _command(self, folder: Path) -> list[str]:
        words = ["start", "--head", "--block", "--disable-usage-stats", "--node-ip-address", "127.0.0.1"]
        words += ["--dashboard-host", "127.0.0.1", "--num-cpus", str(self._cpus), "--temp-dir", str(folder)]
        words += ["--object-store-memory", str(100 << 20), "--min-worker-port", "0", "--max-worker-port", "0"]
        for name, port in self._ports.items():
            words += [f"--{name}", str(port)]
        return [str(self._environment / "bin" / "ray"), *words]

    def _variables(self) -> dict[str, str]:
        return {
            **inherited(),  # what runs in a cluster must see nothing of whoever tests it
            _MARK: self._mark,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_DISABLE_USAGE_STATS": "1",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it turns 127.0.0.1 into an address that others reach
            "RAY_raylet_start_wait_time_s": "240",  # a loaded machine takes longer than the usual 30 s
        }

    def _await(self) -> None:
        """Wait until a job is taken: the dashboard answers long before."""
        deadline = time.monotonic() + _PATIENCE
        probe = {"entrypoint": "true", "submission_id": f"probe-{secrets.token_hex(8)}"}
        while True:
            status, said = self.request("POST", "/api/jobs/", probe)
            if status == 200 or "already exists" in said:
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._folder / "head.log").read_text(errors="replace") if self._folder else ""
                self.stop()
                raise RuntimeError(f"Ray did not come up. It said: {log[-3000:]}\nIts last answer: {status} {said}")
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def main(arguments: list[str]) -> None:
    """Install Ray ahead of the tests: ``python -m airflow_mlpipe.testing.ray_server CONSTRAINTS``."""
    ensure_ray(Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
