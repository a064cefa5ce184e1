"""One live connection: an SFTP channel, and an agent that answers questions."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import shlex
from typing import Any

import asyncssh

from airflow_mlpipe.compute.archive import far_side_archive
from airflow_mlpipe.errors import ComputeError, ConfigError, TransientComputeError
from airflow_mlpipe.ssh import SSHSettings, connect

_HELLO_PATIENCE = 60.0
_CHATTER = 65536
"""Bytes that a login may print before the agent speaks."""
_TAIL = 2000


class LinkLostError(Exception):
    """The connection ended before the answer came; the question may have been heard."""


class Link:
    """A connection to a host, for one working folder.

    :ivar about: what the agent says of itself: ``workdir``, ``python``, ``version``, ``time``.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient, agent: _Agent) -> None:
        self.sftp = sftp
        self.about = agent.about
        self._connection, self._agent = connection, agent

    @classmethod
    async def open(cls, settings: SSHSettings, workdir: str, python: str) -> Link:
        """Connect, send the far side's file if it is not there, and start the agent.

        :raises ConfigError: if the host is not the right one, refuses us, or has no Python that can be used.
        :raises LinkLostError: if the host cannot be reached now.
        """
        try:
            connection = await connect(settings)
        except ConnectionError as error:
            raise LinkLostError(str(error)) from None
        try:
            return await asyncio.wait_for(cls._set_up(connection, settings, workdir, python), _HELLO_PATIENCE)
        except (asyncssh.Error, OSError, asyncio.TimeoutError) as error:
            connection.abort()
            raise _as_lost(settings, error) from None
        except BaseException:
            connection.abort()
            raise

    @classmethod
    async def _set_up(
        cls, connection: asyncssh.SSHClientConnection, settings: SSHSettings, workdir: str, python: str
    ) -> Link:
        sftp = await connection.start_sftp_client()
        try:
            program = await _send_program(sftp, workdir, force=False)
            agent = await _Agent.start(connection, settings, [python, "-I", "-S", "-B", program, "agent", workdir])
            if agent.about["digest"] != far_side_archive().digest:
                agent.close()
                await _send_program(sftp, workdir, force=True)
                agent = await _Agent.start(connection, settings, [python, "-I", "-S", "-B", program, "agent", workdir])
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNoSuchFile, asyncssh.SFTPFailure) as error:
            raise ConfigError(
                f"{settings.where}: the working folder {workdir} on {settings.address} cannot be made or written: "
                f"{error.reason}. Name a folder of that user as 'workdir'."
            ) from None
        return cls(connection, sftp, agent)

    @property
    def alive(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self._agent.ended and not self._connection.is_closed()

    async def call(self, operation: str, patience: float, arguments: dict[str, Any]) -> Any:
        """Ask the agent; return its answer.

        :param patience: seconds to wait; a host that takes longer counts as gone.
        :raises LinkLostError: if there is no answer.
        :raises ComputeError: if the answer is an error.
        """
        try:
            return await asyncio.wait_for(self._agent.ask(operation, arguments), patience)
        except asyncio.TimeoutError:
            self.close()
            raise LinkLostError(f"The host did not answer {operation!r} in {patience:g} s.") from None

    def close(self) -> None:
        """End the connection at once."""
        self._agent.close()
        self._connection.abort()

    async def shut(self) -> None:
        """End the connection and wait until it has."""
        self.close()
        await self._connection.wait_closed()


class _Agent(asyncssh.SSHClientSession[bytes]):
    """The channel to the agent: lines of JSON both ways."""

    def __init__(self) -> None:
        self.ended = False
        self.exit_status: int | None = None
        self.errors = b""
        self._hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._rest: list[bytes] = []
        self._chatter = 0
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    @classmethod
    async def start(cls, connection: asyncssh.SSHClientConnection, settings: SSHSettings, words: list[str]) -> _Agent:
        """Start the agent and wait until it has said who it is."""
        agent = cls()
        await connection.create_session(lambda: agent, f"exec {shlex.join(words)}", encoding=None)
        try:
            await agent.greeted()
        except LinkLostError:
            if agent.exit_status is None:
                raise
            said = agent.errors.decode("utf-8", "replace").strip()[-_TAIL:]
            raise ConfigError(
                f"{settings.where}: {words[0]!r} on {settings.address} ended with exit code {agent.exit_status}: "
                f"{said or 'it said nothing'}. The host needs Python 3.8 or later; name its path as 'python'."
            ) from None
        return agent

    async def greeted(self) -> None:
        """Wait until it has said who it is."""
        await asyncio.shield(self._hello)

    @property
    def about(self) -> dict[str, Any]:
        """What the agent said of itself."""
        return self._hello.result()

    async def ask(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Ask and wait for the answer."""
        if self.ended or self._channel is None:
            raise LinkLostError("The connection has ended.")
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._channel.write(json.dumps({"id": number, "op": operation, **arguments}).encode("ascii") + b"\n")
            answer = await future
        except BrokenPipeError:
            raise LinkLostError("The connection has ended.") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise _as_error(operation, answer)
        return answer["result"]

    def close(self) -> None:
        """Take no more answers."""
        if self._channel is not None:
            self._channel.close()
        self._end("The connection was closed.")

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Take note of the channel."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Take whole lines as they come."""
        if datatype is not None:
            self.errors = (self.errors + data)[-_TAIL:]
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest.append(line)
            whole, self._rest = b"".join(self._rest), []
            self._line(whole)
        if rest:
            self._rest.append(rest)

    def _line(self, line: bytes) -> None:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not self._hello.done():
            self._greet(value, len(line))
        elif isinstance(value, dict) and value.get("id") in self._waiting:
            future = self._waiting[value["id"]]
            if not future.done():
                future.set_result(value)

    def _greet(self, value: Any, size: int) -> None:
        self._chatter += size
        if isinstance(value, dict) and isinstance(value.get("mlpipe"), dict):
            self._hello.set_result(value["mlpipe"])
        elif self._chatter > _CHATTER:
            self._end("The login shell of the host prints without end.")

    def exit_status_received(self, status: int) -> None:
        """Keep the agent's exit code."""
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._end("The connection was lost" + (f": {exc}" if exc else "") + ".")

    def _end(self, why: str) -> None:
        self.ended = True
        for future in [*self._waiting.values(), self._hello]:
            if not future.done():
                future.set_exception(LinkLostError(why))
                future.exception()  # nobody may be waiting any more


async def _send_program(sftp: asyncssh.SFTPClient, workdir: str, *, force: bool) -> str:
    """Lay the far side's file into the working folder unless it is there; return its path."""
    archive = far_side_archive()
    path = f"{workdir}/{archive.name}"
    try:
        there = (await sftp.stat(path)).size == len(archive.data)
    except asyncssh.SFTPNoSuchFile:
        await sftp.makedirs(workdir, exist_ok=True)
        there = False
    if there and not force:
        return path
    temporary = f"{workdir}/.{archive.name}.{secrets.token_hex(6)}"
    async with sftp.open(temporary, "wb") as stream:
        await stream.write(archive.data)
    await sftp.posix_rename(temporary, path)
    return path


def _as_error(operation: str, answer: dict[str, Any]) -> ComputeError:
    text = str(answer["error"])
    if answer.get("kind") == "running":
        return ComputeError(text)
    if answer.get("kind") == "system":
        return TransientComputeError(f"The host cannot do {operation!r}: {text}. Check its rights and free space.")
    return TransientComputeError(text)


def _as_lost(settings: SSHSettings, error: BaseException) -> LinkLostError:
    text = str(error).strip().rstrip(".") or "it did not answer in time"
    return LinkLostError(f"{settings.where}: the connection to {settings.address} ended: {text}.")
