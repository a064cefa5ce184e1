"""Airflow's public API, called from inside its own server as the user who is calling us.

Nothing leaves the process. Airflow checks login, permission and values itself, on every version in the same way, and
writes its own audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

_WHO = ("authorization", "cookie")
_TIMEOUT = 60.0


class AirflowInside:
    """The API as one user sees it.

    :param outer: Airflow's app.
    :param headers: of the user's request; only those that say who is calling are passed on.
    """

    def __init__(self, outer: Any, headers: Mapping[str, str]) -> None:
        self._outer = outer
        self._headers = {name: headers[name] for name in _WHO if name in headers}

    async def call(self, method: str, path: str, json: Any = None) -> httpx.Response:
        """Return the answer, whatever its status.

        :param path: from the root of the server, ``/api/v2/...``.
        """
        transport = httpx.ASGITransport(app=self._outer, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow", timeout=_TIMEOUT) as client:
            return await client.request(method, path, json=json, headers=self._headers)
