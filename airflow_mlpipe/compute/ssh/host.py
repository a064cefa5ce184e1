"""A host that may be away for a while: connects when it is needed, again when it broke, and not too often."""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from airflow_mlpipe.compute.ssh.io_thread import io_thread, stop_io_thread
from airflow_mlpipe.compute.ssh.link import Link, LinkLostError
from airflow_mlpipe.errors import TransientComputeError
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.ssh import SSHSettings

_T = TypeVar("_T")
_PATIENCE = 10.0
"""Seconds in which a broken connection is made anew before the caller hears of it."""
_BREAKS = 20
_ANSWER_PATIENCE = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0


class Host:
    """One host and working folder, for the whole process.

    :param settings: how it is reached.
    :param workdir: absolute path there.
    :param python: interpreter of the agent there.
    """

    def __init__(self, settings: SSHSettings, workdir: str, python: str) -> None:
        self.settings, self.workdir, self.python = settings, workdir, python
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._last = ""
        self._owner = os.getpid()
        self._abandoned: list[Link | None] = []

    async def call(self, operation: str, patience: float = _ANSWER_PATIENCE, **arguments: Any) -> Any:
        """Ask the agent. Every question may be asked again, so a broken connection is no answer.

        :raises TransientComputeError: if the host cannot be reached.
        :raises ComputeError: if the host says no.
        """

        async def ask(link: Link) -> Any:
            return await link.call(operation, patience, arguments)

        return await self.use(ask)

    async def use(self, work: Callable[[Link], Awaitable[_T]], *, patient: bool = False) -> _T:
        """Do something with a live connection, again if it breaks meanwhile; what is done must bear that.

        :param patient: it takes long and goes on where it ended, so a few breaks are borne however late they come.
        """
        if self._owner != os.getpid():  # a fork: the connection is the parent's, and must be neither used nor closed
            self._abandoned.append(self._link)
            self._owner, self._link, self._opening = os.getpid(), None, None
        return await io_thread().run(self._use(work, _BREAKS if patient else 0))

    async def about(self) -> dict[str, Any]:
        """Return what the agent says of itself."""

        async def ask(link: Link) -> dict[str, Any]:
            return link.about

        return await self.use(ask)

    async def _use(self, work: Callable[[Link], Awaitable[_T]], breaks: int) -> _T:
        deadline = time.monotonic() + _PATIENCE
        while True:
            began = time.monotonic()
            try:
                return await work(await self._alive())
            except LinkLostError as error:
                if breaks and time.monotonic() - began > _PATIENCE / 2:
                    breaks, deadline = breaks - 1, time.monotonic() + _PATIENCE
                await self._pause(error, deadline)

    async def _pause(self, error: LinkLostError, deadline: float) -> None:
        """Wait until it makes sense to try again.

        :raises TransientComputeError: if that is past the deadline.
        """
        self._last = str(error)
        pause = max(self._not_before - time.monotonic(), _FIRST_PAUSE)
        if time.monotonic() + pause > deadline:
            raise TransientComputeError(
                f"{self.settings.where}: {self.settings.address} cannot be reached now; jobs there go on. {self._last}"
            ) from None
        await asyncio.sleep(pause * random.uniform(1, 1.2))  # noqa: S311 - jitter

    async def _alive(self) -> Link:
        if self._link is not None and self._link.alive:
            return self._link
        if self._opening is None:
            if time.monotonic() < self._not_before:
                raise LinkLostError(self._last)
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Link:
        try:
            if self._link is not None:
                self._link.close()
            self._link = await Link.open(self.settings, self.workdir, self.python)
            self._failures = 0
        except LinkLostError as error:
            self._last = str(error)
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
            self._failures += 1
            self._not_before = time.monotonic() + pause
            raise
        finally:
            self._opening = None
        return self._link

    async def shut(self) -> None:
        """End the connection."""
        link, self._link = self._link, None
        if link is not None:
            await link.shut()


class _Hosts:
    known: dict[tuple[Any, ...], Host] = {}  # noqa: RUF012 - one for the process


def host(settings: SSHSettings, workdir: str, python: str) -> Host:
    """Return the host of these settings; everybody in this process who means the same one shares its connection."""
    shown = tuple(
        value.reveal() if isinstance(value, Secret) else value
        for name, value in vars(settings).items()
        if name != "where"
    )
    key = (*shown, workdir, python)
    return _Hosts.known.setdefault(key, Host(settings, workdir, python))


def close_hosts() -> None:
    """End all connections of this process, and the thread that holds them. Who asks again connects again."""

    async def last() -> None:
        await asyncio.gather(*(each.shut() for each in _Hosts.known.values()), return_exceptions=True)

    stop_io_thread(last())


def _forked() -> None:
    _Hosts.known = {}


os.register_at_fork(after_in_child=_forked)
atexit.register(close_hosts)
