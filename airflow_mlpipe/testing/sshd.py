"""A real SSH server, Debian's openssh-server, on loopback: for tests."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_PATIENCE = 30.0
_TRIES = 5
_PROGRAM = "/usr/sbin/sshd"
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PermitRootLogin prohibit-password
PrintMotd no
MaxStartups 500
MaxSessions 500
Subsystem sftp internal-sftp {sftp_options}
"""


class SSHServer:
    """An SSH server with keys of its own on a free port; whoever has its key is the user of this process.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param folder: for its keys, its configuration and its log; made when needed.
    :param sftp_options: arguments of OpenSSH's SFTP server, such as ``-R`` (read only) or ``-P hardlink`` (refuse it).
    :ivar key_file: private key that it accepts.
    :ivar known_hosts: file that holds its host key.
    """

    def __init__(self, folder: Path, *, sftp_options: str = "") -> None:
        self.folder = folder
        self.key_file = folder / "client_key"
        self.known_hosts = folder / "known_hosts"
        self.port = 0
        self._sftp_options = sftp_options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SSHServer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def settings(self) -> dict[str, Any]:
        """What ``workspace.yml`` would say of the host."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key_file": str(self.key_file),
            "known_hosts": str(self.known_hosts),
        }

    @property
    def pid(self) -> int:
        """Process id of the listener.

        :raises RuntimeError: if it is not running.
        """
        if self._process is None:
            raise RuntimeError("The SSH server is not running.")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers; a second start takes the port and the keys of the first.

        :raises RuntimeError: if it is not installed, or does not come up; with what it said.
        """
        if not Path(_PROGRAM).is_file():
            raise RuntimeError(f"There is no {_PROGRAM}. Install it (Debian, Ubuntu: apt install openssh-server).")
        self._make_keys()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        tries = 1 if self.port else _TRIES
        for left in reversed(range(tries)):
            port = self.port or free_port()
            said = self._try(port)
            if said is None:
                self.port = port
                name = f"[127.0.0.1]:{port}"
                self.known_hosts.write_text(f"{name} {(self.folder / 'host_key.pub').read_text()}")
                return
            if not left:
                raise RuntimeError(f"The SSH server did not come up. It said: {said[-2000:]}")

    def stop(self) -> None:
        """End it, with all its connections; nothing happens if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        connections = _children(process.pid)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _kill(connections)

    def drop_connections(self) -> int:
        """End every connection as a broken network would; return how many there were. Jobs go on."""
        connections = _children(self.pid)
        _kill(connections)
        return len(connections)

    def _make_keys(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        program = shutil.which("ssh-keygen") or "/usr/bin/ssh-keygen"
        for name in ("host_key", "client_key"):
            if not (self.folder / name).exists():
                command = [program, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - our own words
        shutil.copyfile(self.folder / "client_key.pub", self.folder / "authorized_keys")

    def _try(self, port: int) -> str | None:
        """Start it on a port; return ``None`` when it answers there, else what it said."""
        config, log = self.folder / "sshd_config", self.folder / "sshd.log"
        config.write_text(_CONFIG.format(port=port, folder=self.folder, sftp_options=self._sftp_options))
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own words
                [_PROGRAM, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while b"Server listening on 127.0.0.1" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                return log.read_text(errors="replace")
            time.sleep(0.02)
        self._process = process
        return None


def free_port() -> int:
    """Return a port of this machine that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    """Return the server's own processes that serve connections; the commands of users are not among them."""
    found: list[int] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            name, _, rest = text.rpartition(")")
            if int(rest.split()[1]) == parent and name.partition("(")[2].startswith("sshd"):
                found.append(int(stat.parent.name))
                parents.append(found[-1])
    return found


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
