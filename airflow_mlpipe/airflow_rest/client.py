"""One logged-in caller of an Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

import httpx

from airflow_mlpipe.airflow_rest.login import PASSWORD_VARIABLE, TOKEN_VARIABLE, Login
from airflow_mlpipe.airflow_rest.refusals import refusal
from airflow_mlpipe.errors import AirflowUnreachableError
from airflow_mlpipe.redaction import Redactor

API = "/api/v2"
_LOGIN_HINT = (
    f"Give a token (--token-file FILE or {TOKEN_VARIABLE}), or --user NAME with --password-file FILE or "
    f"{PASSWORD_VARIABLE}."
)


class AirflowClient:
    """Calls the API of one Airflow; a token is asked for when the first call needs one, and again when it has expired.

    :param login: where and who.
    :param timeout: seconds for one answer.
    """

    def __init__(self, login: Login, timeout: float = 60) -> None:
        self.url = login.url
        self._login = login
        self._token = login.token.reveal() if login.token is not None else None
        self._client = httpx.Client(timeout=timeout, trust_env=not login.is_local)

    def __enter__(self) -> AirflowClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def call(self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Call the API and return the answer's JSON.

        :raises ParameterError: for 400, 404, 409 and 422, with the field that is wrong.
        :raises ConfigError: for a wrong login or a missing permission.
        :raises AirflowUnreachableError: if there is no proper answer.
        """
        answer = self.request(method, path, json, params)
        if not answer.is_success:
            raise refusal(answer, _LOGIN_HINT)
        return self._json(answer)

    def request(
        self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Call the API and return the answer, whatever its status.

        :param path: from the root of the server, ``/api/v2/...``.
        :raises AirflowUnreachableError: if there is no answer.
        """
        if self._token is None:
            self._log_in()
        answer = self._send(method, path, json, params)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._login.token is None and self._login.user:
            self._log_in()
            answer = self._send(method, path, json, params)
        return answer

    def _log_in(self) -> None:
        """Ask for a token; an Airflow that lets everybody in needs none."""
        if self._login.user is None or self._login.password is None:
            return
        self._token = None
        body = {"username": self._login.user, "password": self._login.password.reveal()}
        answer = self._send("POST", "/auth/token", body, None)
        if not answer.is_success:
            raise refusal(answer, "User or password is wrong.")
        self._token = str(self._json(answer).get("access_token", ""))

    def _send(self, method: str, path: str, json: Any, params: Mapping[str, Any] | None) -> httpx.Response:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            return self._client.request(method, f"{self.url}{path}", json=json, params=params, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            known = [self._token] if self._token else []
            said = Redactor(known).clean(str(error) or type(error).__name__)
            raise AirflowUnreachableError(f"Airflow at {self.url} cannot be reached: {said}.") from None

    def _json(self, answer: httpx.Response) -> Any:
        """Unknown paths of an API server answer 200 with a web page."""
        try:
            return answer.json()
        except ValueError:
            raise AirflowUnreachableError(
                f"{self.url} answered with something that is not JSON; is it the address of an Airflow API server?"
            ) from None
