"""A real Airflow of one's own: API server, scheduler, DAG processor and triggerer, on loopback, gone when it ends.

For tests, the demo and benchmarks. SQLite serves one REST client at a time; give a PostgreSQL address for more.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from airflow_mlpipe.testing.airflow_api import AirflowApi

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_FLAGS = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"]}
_USER = "admin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class AirflowServer:
    """Starts the four parts of Airflow, each in its own session, and ends them with everything they started.

    Jobs of the local compute target have sessions of their own and survive, as they must; a test that leaves one
    running ends it itself.

    :param home: ``AIRFLOW_HOME``: database, logs and passwords go here.
    :param dags_folder: what the scheduler watches.
    :param config: further settings, ``"scheduler.parsing_processes"`` to value; they win over the ones made here.
    :param environment: further environment variables.
    :param database: SQLAlchemy address; a SQLite file in ``home`` if not given.
    :ivar api: REST client, logged in; see :class:`~airflow_mlpipe.testing.airflow_api.AirflowApi`. Usable once ready.
    :ivar url: address of the UI and the API.
    :ivar username, password: login of the UI.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        config: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        database: str | None = None,
    ) -> None:
        self.home = home.resolve()
        self.dags_folder = dags_folder.resolve()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.username, self.password = _USER, secrets.token_urlsafe(12)
        self.api = AirflowApi(self.url, self.username, self.password)
        self._database = database or f"sqlite:///{self.home / 'airflow.db'}"
        self._config = dict(config or {})
        self._extra_environment = dict(environment or {})
        self._secret = secrets.token_urlsafe(32)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> AirflowServer:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def settings(self) -> dict[str, str]:
        """The configuration that the parts run with, ``"section.option"`` to value."""
        return {
            "core.executor": "LocalExecutor",
            "core.parallelism": "4",
            "core.load_examples": "False",
            "core.dags_folder": str(self.dags_folder),
            "core.simple_auth_manager_users": f"{_USER}:admin",
            "core.simple_auth_manager_passwords_file": str(self.home / "passwords.json"),
            "core.execution_api_server_url": f"{self.url}/execution/",
            "core.test_connection": "Enabled",
            "database.sql_alchemy_conn": self._database,
            "api.host": "127.0.0.1",
            "api.port": str(self.port),
            "api.base_url": self.url,
            "api.workers": "1",
            "api.secret_key": self._secret,
            "api_auth.jwt_secret": self._secret,
            "scheduler.scheduler_idle_sleep_time": "0.1",
            "dag_processor.refresh_interval": "5",
            "dag_processor.min_file_process_interval": "5",
            "dag_processor.parsing_processes": "1",
            "logging.worker_log_server_port": str(_free_port()),
            "logging.trigger_log_server_port": str(_free_port()),
            "usage_data_collection.enabled": "False",
            **self._config,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for this Airflow; also for running ``airflow`` commands against it."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW_") and name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS")
        }
        options = {
            "AIRFLOW__{}__{}".format(*(part.upper() for part in name.split(".", 1))): value
            for name, value in self.settings.items()
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        return {
            **kept,
            "AIRFLOW_HOME": str(self.home),
            "PATH": path,
            "NO_PROXY": "127.0.0.1",
            **options,
            **self._extra_environment,
        }

    def start(self) -> None:
        """Migrate the database and start the four parts; returns before they are ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.dags_folder.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({_USER: self.password}) + "\n")
        migration = subprocess.run(  # noqa: S603 - our own interpreter and fixed words
            self._command("db", "migrate"), env=self.environment, capture_output=True, text=True, check=False
        )
        if migration.returncode:
            raise RuntimeError(f"'airflow db migrate' failed:\n{migration.stdout[-2000:]}\n{migration.stderr[-4000:]}")
        atexit.register(self.stop)
        for name in COMPONENTS:
            self.start_component(name)

    @staticmethod
    def _command(*words: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *words]

    def start_component(self, name: str) -> None:
        """Start one part (a name of :data:`COMPONENTS`), for example again after :meth:`kill_component`."""
        with self.log_path(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own interpreter and fixed words
                self._command(name, *_FLAGS.get(name, [])),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pid(self, name: str) -> int:
        """Return the process id of one part that runs."""
        return self._processes[name].pid

    def kill_component(self, name: str) -> None:
        """End one part at once (SIGKILL), with everything in its session, as a crash of its machine would."""
        process = self._processes.pop(name)
        _signal_session(process.pid, signal.SIGKILL)
        process.wait()

    def log_path(self, name: str) -> Path:
        """Return the file with a part's own output."""
        return self.home / f"{name}.log"

    def wait_ready(self, timeout: float = 180) -> None:
        """Wait until every part reports that it is healthy.

        :raises RuntimeError: when a part has ended, with the end of its output; or after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while not self._healthy():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"Airflow's {name} ended with {process.returncode}:\n{self._tail(name)}")
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {name}\n{self._tail(name)}" for name in COMPONENTS)
                raise RuntimeError(f"Airflow was not ready after {timeout:.0f} s.\n{tails}")
            time.sleep(0.3)

    def _healthy(self) -> bool:
        try:
            health = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=10, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(
            health.get(part, {}).get("status") == "healthy"
            for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
        )

    def _tail(self, name: str) -> str:
        try:
            return self.log_path(name).read_text(errors="replace")[-3000:]
        except FileNotFoundError:
            return "(no output)"

    def leave_running(self) -> list[int]:
        """Hand the parts over: they outlive this process.

        :returns: the sessions to end later, by :func:`end_sessions`.
        """
        atexit.unregister(self.stop)
        self.api.close()
        processes, self._processes = list(self._processes.values()), {}
        return [process.pid for process in processes]

    def stop(self, patience: float = 10) -> None:
        """End every part and whatever it started: asked first, forced after ``patience`` seconds."""
        atexit.unregister(self.stop)
        self.api.close()
        processes, self._processes = list(self._processes.values()), {}
        end_sessions([process.pid for process in processes], patience)
        for process in processes:
            process.wait()


def end_sessions(sessions: Sequence[int], patience: float = 10) -> None:
    """End every process of these sessions: first asked, after ``patience`` seconds forced."""
    for session in sessions:
        _signal_session(session, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(_session_members(session) for session in sessions):
        time.sleep(0.1)
    for session in sessions:
        _signal_session(session, signal.SIGKILL)


def _session_members(session: int) -> list[int]:
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state = stat.read_text().rpartition(")")[2].split()[0]
            if state != "Z" and os.getsid(int(stat.parent.name)) == session:
                members.append(int(stat.parent.name))
    return members


def _signal_session(session: int, number: int) -> None:
    for pid in _session_members(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
