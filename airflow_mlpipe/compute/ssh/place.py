"""Job folders on another machine."""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.archive import far_side_archive
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.environments import build_request, refuse_image
from airflow_mlpipe.compute.far_side import records
from airflow_mlpipe.compute.far_side.job_folder import ExitRecord, valid_key
from airflow_mlpipe.compute.job_parts import Carried
from airflow_mlpipe.compute.job_payload import launcher_spec
from airflow_mlpipe.compute.place import Finished, Place, Settled
from airflow_mlpipe.environment import EnvironmentDefinition, listing_command, read_listing
from airflow_mlpipe.errors import DataError, EnvironmentBuildError, TransientComputeError
from airflow_mlpipe.ssh import SSHSettings, load_library

if TYPE_CHECKING:
    from airflow_mlpipe.compute.ssh.host import Host
    from airflow_mlpipe.compute.ssh.link import Link
    from airflow_mlpipe.compute.ssh.parcels import Parcel

logger = logging.getLogger(__name__)

_LONG = 24 * 3600.0
"""Seconds for what grows with the data. A host that is gone shows itself by the connection's own signs of life."""
_DELIVERIES = 4
_BUILDS = 3


class SSHPlace(Place):
    """A working folder on a host.

    :param settings: how the host is reached.
    :param workdir: absolute path there.
    :param python: interpreter of the far side there, and of steps without an environment.
    """

    def __init__(self, settings: SSHSettings, workdir: str, python: str) -> None:
        self.settings, self.workdir, self.python = settings, workdir, python
        self.endpoint = f"ssh://{settings.address}{workdir}"
        self._known: Host | None = None
        self._software: Mapping[str, str] | None = None

    async def _host(self) -> Host:
        """Return the host; importing what speaks SSH takes a while, so it is done when it is first needed."""
        if self._known is None:
            self._known = await loop.to_thread(self._find)
        return self._known

    def _find(self) -> Host:
        load_library(self.settings.where)
        from airflow_mlpipe.compute.ssh.host import host  # noqa: PLC0415 - needs the extra, and is slow to import

        return host(self.settings, self.workdir, self.python)

    async def _call(self, operation: str, **arguments: Any) -> Any:
        return await (await self._host()).call(operation, **arguments)

    async def program(self) -> list[str]:
        """Return the words that start the far side there."""
        about = await (await self._host()).about()
        return [about["python"], "-I", "-S", "-B", f"{self.workdir}/{far_side_archive().name}"]

    def folder(self, key: str) -> str:
        """Return the path of a job's folder there."""
        return f"{self.workdir}/{key}"

    def log_location(self, key: str) -> str:
        """Return host and path of the log file."""
        return f"{self.settings.address}:{self.workdir}/{key if valid_key(key) else '...'}/{records.LOG}"

    async def interpreter(self, definition: EnvironmentDefinition) -> str:
        """Return the Python of an environment there, after building it if nobody has yet; its lines are logged here."""
        refuse_image(definition)
        request, attempt, cursor, started = build_request(definition), secrets.token_hex(8), -1, 0
        while True:
            answer = await self._call("environment", request=request, attempt=attempt, cursor=cursor)
            cursor = answer["cursor"]
            for line in answer["text"].splitlines():
                logger.info("%s", line)
            if "python" in answer:
                return str(answer["python"])
            if "error" in answer:
                raise EnvironmentBuildError(f"On {self.settings.address}: {answer['error']}")
            started += bool(answer["started"])
            if started > _BUILDS:
                raise EnvironmentBuildError(
                    f"On {self.settings.address}: the builder of the environment ended {_BUILDS} times without a word. "
                    "Is there enough memory and space?"
                )
            await loop.sleep(0.3)

    def software(self) -> Mapping[str, str]:
        """Return what the host's Python has installed; asked once."""
        if self._software is None:
            self._software = loop.run(self._ask_software())
        return self._software

    async def _ask_software(self) -> Mapping[str, str]:
        python = (await (await self._host()).about())["python"]
        done = await self.run(listing_command(python))
        try:
            return read_listing(done.output)
        except (ValueError, TypeError):
            said = done.errors.decode("utf-8", "replace").strip()[-500:] or f"exit code {done.code}"
            raise TransientComputeError(
                f"On {self.settings.address}: {python} does not say what is installed: {said}"
            ) from None

    async def claimed(self, key: str) -> bool:
        """Whether a launcher has taken the job, or it has ended before one did."""
        return bool(await self._call("claimed", key=key))

    async def stage(self, spec: JobSpec, key: str, *, waits: bool = False) -> None:
        """Send what the job needs and lay out its folder, whole; nothing happens if it is there."""
        host = await self._host()
        from airflow_mlpipe.compute.ssh.parcels import pack  # noqa: PLC0415 - only who submits needs it

        if spec.environment is not None:
            python = await self.interpreter(spec.environment)
        else:
            python = str((await host.about())["python"])
        parcel = await loop.to_thread(pack, spec)
        plain = launcher_spec(spec, python, waits=waits)
        for _ in range(_DELIVERIES):
            await self._send(host, key, parcel)
            bad = await host.call(
                "stage", _LONG, key=key, spec=plain, python=python, layout=parcel.layout, small=parcel.small
            )
            if not bad:
                return
        raise DataError(
            f"{len(bad)} file(s) of the job {key} do not arrive as they were when they were looked at, for example "
            f"{parcel.large.get(bad[0], 'a small one')}. Does somebody write to them? Retry when they are at rest."
        )

    async def _send(self, host: Host, key: str, parcel: Parcel) -> None:
        if not parcel.large:
            return
        from airflow_mlpipe.compute.ssh.transfer import send  # noqa: PLC0415 - needs the extra

        async def work(link: Link) -> None:
            wanted = await link.call("wanted", _LONG, {"key": key, "digests": sorted(parcel.large)})
            await send(link, wanted["folder"], {digest: parcel.large[digest] for digest in wanted["missing"]})

        await host.use(work, patient=True)

    async def fetch(self, key: str, carried: Sequence[Carried]) -> None:
        """Bring outputs of an ended job here; see :meth:`ComputeTarget.collect`."""
        digests = await self.outputs(key)
        from airflow_mlpipe.compute.ssh.transfer import fetch  # noqa: PLC0415 - needs the extra

        for item in carried:
            if item.port in digests:
                await self._fetch(item.there, item.here, digests[item.port], fetch)

    async def _fetch(self, there: str, here: Path, digests: Any, fetch: Any) -> None:
        async def work(link: Link) -> None:
            await fetch(link, there, here, digests)

        await (await self._host()).use(work, patient=True)

    async def start(self, key: str) -> None:
        """Start the launcher of a staged job as a plain process; nothing happens if the job is claimed."""
        await self._call("start", patience=2 * 60.0, key=key)

    async def settle(self, keys: Sequence[str]) -> list[Settled]:
        """Return what is known of each job, in one round trip."""
        answers = await self._call("settle", keys=list(keys))
        return [Settled(_ending(ending), size) for ending, size in answers]

    async def give_up(self, key: str, reason: str = "lost", message: str = "") -> bool:
        """End a staged job that no launcher has claimed."""
        return bool(await self._call("give_up", key=key, reason=reason, message=message))

    async def read_log(self, key: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Return output from a byte on, and whether it is all there will ever be."""
        data, eof = await self._call("read_log", key=key, offset=offset, limit=limit)
        return base64.b64decode(data), bool(eof)

    async def ask_to_end(self, key: str, grace: float) -> bool:
        """Ask the launcher to end the job; return whether there is anything to wait for."""
        return bool(await self._call("ask_to_end", key=key, grace=grace))

    async def force_end(self, key: str) -> None:
        """End the job without its launcher."""
        await self._call("force_end", key=key)

    async def remove(self, key: str) -> None:
        """Remove everything of a job that has ended."""
        await self._call("remove", patience=_LONG, key=key)

    async def outputs(self, key: str) -> dict[str, Any]:
        """Return the digests of the outputs of an ended job."""
        digests = await self._call("outputs", key=key)
        if not isinstance(digests, dict) or not all(isinstance(each, dict) for each in digests.values()):
            raise DataError(f"What the job {key} left on {self.settings.address} is not known. Run the step again.")
        return digests

    async def run(self, command: Sequence[str], given: bytes = b"") -> Finished:
        """Run a short command of ours there, words and no shell."""
        code, output, errors = await self._call(
            "run", patience=2 * 60.0, command=list(command), given=base64.b64encode(given).decode("ascii")
        )
        return Finished(code, base64.b64decode(output), base64.b64decode(errors))


def _ending(value: Any) -> ExitRecord | str:
    if isinstance(value, str):
        return value
    try:
        return ExitRecord(**{**value, "metrics": tuple(value["metrics"])})
    except (TypeError, KeyError):
        raise TransientComputeError(f"The host says of a job what cannot be understood: {value!r:.200}") from None
