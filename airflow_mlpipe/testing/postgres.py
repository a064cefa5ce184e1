"""A real PostgreSQL, Debian's package, on loopback: for Airflows that more than one client talks to at a time."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from airflow_mlpipe.testing.sshd import free_port

_PATIENCE = 60.0
_USER = "mlpipe"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",  # what it holds goes when it ends
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresServer:
    """One server with one empty database, gone when it ends. Use it as a context manager.

    PostgreSQL does not run as root: root starts it as the user ``postgres``, anybody else as oneself.

    :ivar folder: with all its files.
    :ivar address: for Airflow's ``database.sql_alchemy_conn``.
    :raises RuntimeError: at the start, if it is not installed or does not come up.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._password = secrets.token_urlsafe(16)
        self.address = f"postgresql+psycopg2://{_USER}:{self._password}@127.0.0.1:{self.port}/postgres"
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self.folder = Path(tempfile.mkdtemp(prefix="mlpipe-postgres-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _start(self) -> None:
        programs = _programs()
        secret = self.folder / "password"
        secret.write_text(self._password)
        if os.getuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, "postgres", "postgres")
        data = str(self.folder / "data")
        words = ["-D", data, "-U", _USER, "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "--encoding=UTF8"]
        self._run([*_as_nobody_special(), str(programs / "initdb"), *words])
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        command = [*_as_nobody_special(), str(programs / "postgres"), "-D", data, "-p", str(self.port), *options]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        self._wait(programs / "pg_isready")

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, text=True, cwd="/", check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[-1]} failed: {done.stderr[-2000:]}")

    def _wait(self, probe: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        words = [str(probe), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(words, check=False).returncode:  # noqa: S603 - our own words
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL does not answer on 127.0.0.1:{self.port}:\n{log[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it and remove all it held."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _as_nobody_special() -> list[str]:
    if os.getuid():
        return []
    user = pwd.getpwnam("postgres")
    return ["/usr/bin/setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


def _programs() -> Path:
    """Return the folder of the newest PostgreSQL that is installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: float(path.parent.name))
    if versions:
        return versions[-1]
    found = shutil.which("postgres")
    if found is None:
        raise RuntimeError("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql).")
    return Path(found).parent
