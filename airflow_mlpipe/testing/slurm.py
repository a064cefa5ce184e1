"""A real Slurm, Debian's packages with munge, on loopback: for tests. Two nodes, both of them this machine."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from airflow_mlpipe.compute.far_side.processes import kill_all
from airflow_mlpipe.testing.sshd import free_port

_PATIENCE = 60.0
_PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NODES = ("n1", "n2")
_CONFIG = """\
ClusterName=mlpipe
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
EnforcePartLimits=ALL
KillWait=5
MinJobAge={retention}
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 RealMemory=4096 Gres=gpu:2"


class SlurmCluster:
    """A controller and two nodes of 16 processors, 4 GiB and two pretended GPUs each; whoever starts it may use it.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param folder: for configuration, state and logs; made when needed. Its path must be short: it holds a socket.
    :param retention: seconds for which Slurm knows a job that has ended.
    :ivar conf: its ``slurm.conf``.
    """

    def __init__(self, folder: Path, *, retention: int = 300) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self._retention = retention
        self._ports: list[int] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> SlurmCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until its nodes take jobs.

        :raises RuntimeError: if a package is missing or it does not come up; with what it said.
        """
        missing = [package for program, package in _PROGRAMS.items() if not shutil.which(program, path=_PATH)]
        if missing:
            raise RuntimeError(f"Slurm is not installed. Install it (Debian, Ubuntu: apt install {' '.join(missing)}).")
        self._write_files()
        munge = self.folder / "munge"
        files = [f"--{name}-file={munge / name}" for name in ("key", "log", "pid", "seed")]
        self._spawn("munged", ["--foreground", "--force", f"--socket={munge / 'socket'}", *files])
        self._await("munge", (munge / "socket").exists)
        self.start_controller()
        for node in NODES:
            self._spawn("slurmd", ["-D", "-N", node, "-f", str(self.conf)], node)
        self.settled()

    def settled(self) -> None:
        """Wait until the controller answers and all nodes are there."""
        self._await("nodes", self._well)

    def _well(self) -> bool:
        states = set(self.run("sinfo", "-h", "-o", "%T", check=False).split())
        return bool(states) and states <= {"idle", "mixed", "allocated", "completing"}

    def forget_all(self) -> None:
        """Set the cluster up anew: the controller begins without any job, and with the first number."""
        self.kill_controller()
        shutil.rmtree(self.folder / "state")
        (self.folder / "state").mkdir()
        self.start_controller()
        self.settled()

    def start_controller(self) -> None:
        """Start the controller, after :meth:`kill_controller` with the state that it had."""
        self._spawn("slurmctld", ["-D", "-f", str(self.conf)])

    def kill_controller(self) -> None:
        """End the controller with SIGKILL; jobs go on."""
        process = self._running.pop("slurmctld")
        process.kill()
        process.wait()

    def wait_until_saved(self, name: str) -> None:
        """Wait until the controller has written a job down, so that it would survive its end."""
        place = self.folder / "state" / "job_state"
        self._await("a saved job", lambda: place.exists() and name.encode() in place.read_bytes())

    def stop(self) -> None:
        """End it with all jobs; nothing happens if it is not running."""
        if "slurmctld" in self._running:
            self.run("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}", check=False)
        for process in reversed(self._running.values()):
            process.terminate()
        for process in reversed(self._running.values()):
            _end(process)
        kill_all(frozenset({b"SLURM_CONF=" + os.fsencode(self.conf)}))  # steps outlive a controller that forgot them
        self._running.clear()

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands and return its output.

        :raises RuntimeError: if it failed, with what it said.
        """
        done = subprocess.run(  # noqa: S603 - a test's own words
            command, env={**os.environ, "SLURM_CONF": str(self.conf)}, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def jobs(self, name: str) -> list[str]:
        """Return the states of all jobs of a name that Slurm still knows."""
        return self.run("squeue", "-h", "--states=all", f"--name={name}", "-o", "%T").split()

    def _write_files(self) -> None:
        (self.folder / "munge").mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.folder / "munge"):
            folder.chmod(0o755)
        (self.folder / "state").mkdir(exist_ok=True)
        key = self.folder / "munge" / "key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(128))
        self._ports = self._ports or [free_port() for _ in range(1 + len(NODES))]
        host = socket.gethostname().partition(".")[0]
        controller, *ports = self._ports
        nodes = [_NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports, strict=True)]
        values = {"host": host, "controller": controller, "user": getpass.getuser(), "folder": self.folder}
        text = _CONFIG.format(**values, retention=self._retention, nodes="\n".join(nodes))
        self.conf.write_text(text)
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName={name} Name=gpu File=/dev/{device}\n" for name in NODES for device in ("null", "zero"))
        )

    def _spawn(self, program: str, arguments: Sequence[str], name: str = "") -> None:
        name = name or program
        with (self.folder / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own words
                [shutil.which(program, path=_PATH) or program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "SLURM_CONF": str(self.conf)},
            )

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                said = {name: self._said(name) for name in dead or self._running}
                self.stop()
                raise RuntimeError(f"Slurm did not come up ({what}). It said: {said}")
            time.sleep(0.1)

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
