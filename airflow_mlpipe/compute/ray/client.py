"""Ray's Jobs API over HTTP: what its answers mean, and nothing of what we want from them."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from time import time
from typing import Any, NamedTuple
from urllib.parse import quote

from airflow_mlpipe.compute.http_session import http_session
from airflow_mlpipe.compute.ray.settings import RaySettings
from airflow_mlpipe.errors import SubmitRejectedError, TransientComputeError
from airflow_mlpipe.redaction import Redactor

_NO_ENTRY = (401, 403)
_LONGEST_SAYING = 400
_LONGEST_PAUSE = 300.0


class Answer(NamedTuple):
    """What the cluster said.

    :param status: of HTTP.
    :param pause: seconds that it asks to wait, ``None`` if it does not ask.
    """

    status: int
    text: str
    pause: float | None = None

    @property
    def saying(self) -> str:
        """The line of an error that says what is wrong; the lines above it are Ray's own code."""
        lines = [line.strip() for line in self.text.splitlines() if len(line.strip(" \t.")) > 0]
        return lines[-1][:_LONGEST_SAYING] if lines else f"HTTP {self.status} without a word"

    @property
    def value(self) -> Mapping[str, Any] | None:
        """The JSON object in it, ``None`` if there is none."""
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


class RayClient:
    """Asks one cluster. All errors are redacted.

    :param settings: where it is.
    """

    def __init__(self, settings: RaySettings) -> None:
        self.settings = settings
        self._redactor = Redactor([settings.token.reveal()] if settings.token else [])

    @property
    def shown(self) -> str:
        """What people call it."""
        return f"Ray at {self.settings.address} (compute {self.settings.name})"

    def clean(self, text: str) -> str:
        """Return a text of Ray's without the token."""
        return self._redactor.clean(text)

    async def job(self, key: str) -> Answer:
        """Ask for one job; 200 or 404."""
        return self._expected(await self._ask("GET", f"/api/jobs/{quote(key, safe='')}"), (200, 404))

    async def post_job(self, body: Mapping[str, Any]) -> Answer:
        """Post a job; 200, or 500, which Ray uses for much.

        :raises SubmitRejectedError: if Ray does not take it and never will.
        """
        answer = await self._ask("POST", "/api/jobs/", body)
        if answer.status == 400:
            raise SubmitRejectedError(f"{self.shown} does not take the job: {self.clean(answer.saying)}")
        return self._expected(answer, (200, 500))

    async def post_once(self, body: Mapping[str, Any], name: str) -> None:
        """Post a job, or find that Ray has it already.

        :param name: its submission id.
        :raises SubmitRejectedError: if Ray does not take it and never will.
        :raises TransientComputeError: if it is not there and Ray does not take it now.
        """
        try:
            answer = await self.post_job(body)
            if answer.status == 200 or "already exists" in answer.text:
                return
            problem = TransientComputeError(f"{self.shown} does not take jobs now: {self.clean(answer.saying)}")
        except TransientComputeError as error:
            problem = error
        if not await self._is_known(name):
            raise problem

    async def _is_known(self, name: str) -> bool:
        """Whether Ray has the job although it did not say so: its answer may have been lost on the way."""
        with suppress(TransientComputeError):
            return (await self.job(name)).status == 200
        return False

    async def put_package(self, name: str, data: bytes) -> None:
        """Give Ray a package, unless it has it."""
        path = f"/api/packages/gcs/{quote(name, safe='')}"
        if self._expected(await self._ask("GET", path), (200, 404)).status == 404:
            self._expected(await self._ask("PUT", path, data), (200,))

    async def stop(self, key: str) -> None:
        """Ask for the end of a job; Ray may say yes and not do it."""
        self._expected(await self._ask("POST", f"/api/jobs/{quote(key, safe='')}/stop"), (200, 404, 500))

    async def delete(self, key: str) -> bool:
        """Drop an ended job from Ray's table; return whether it is gone."""
        answer = await self._ask("DELETE", f"/api/jobs/{quote(key, safe='')}")
        return self._expected(answer, (200, 404, 500)).status != 500

    def _expected(self, answer: Answer, allowed: tuple[int, ...]) -> Answer:
        if answer.status in allowed:
            return answer
        if answer.status in _NO_ENTRY:
            raise TransientComputeError(
                f"{self.shown} refuses the token (HTTP {answer.status}). Check 'token' in the workspace."
            )
        raise TransientComputeError(
            f"{self.shown} answered HTTP {answer.status}: {self.clean(answer.saying)}", answer.pause
        )

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Answer:
        session = await http_session("ray")
        import aiohttp  # noqa: PLC0415 - slow to import; it is loaded by now

        headers = {"Content-Type": "application/json"}
        if self.settings.token:
            headers["Authorization"] = f"Bearer {self.settings.token.reveal()}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            async with session.request(
                method,
                f"{self.settings.address}{path}",
                data=None if data is None else io.BytesIO(data),  # a large body of bytes would block the loop
                headers=headers,
                ssl=self._trust,
                allow_redirects=False,
            ) as reply:
                content = await reply.read()
                return Answer(reply.status, content.decode("utf-8", "replace"), _pause(reply))
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            reason = self.clean(str(error) or type(error).__name__)
            raise TransientComputeError(f"{self.shown} cannot be reached: {reason}.") from None

    @cached_property
    def _trust(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=self.settings.ca_bundle) if self.settings.ca_bundle else True


def _pause(reply: Any) -> float | None:
    """Return what ``Retry-After`` asks for, in seconds; it is written as a number or as a date."""
    text = str(reply.headers.get("Retry-After") or "").strip()
    if not text:
        return None
    try:
        pause = float(text) if text.replace(".", "", 1).isdigit() else parsedate_to_datetime(text).timestamp() - time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(pause, 0.0), _LONGEST_PAUSE)
