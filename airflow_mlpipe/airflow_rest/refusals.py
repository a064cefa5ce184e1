"""What an API server says when it refuses, in one sentence that names the field."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_mlpipe.errors import AirflowUnreachableError, ConfigError, MLPipeError, ParameterError

if TYPE_CHECKING:
    import httpx

_PARAM = re.compile(r"Invalid input for param ([^:]+): (.*)", re.DOTALL)
_LONGEST = 500


def refusal(answer: httpx.Response, login_hint: str) -> MLPipeError:
    """Return the error that an answer of 4xx or 5xx stands for.

    400, 404, 409 and 422 are a :class:`ParameterError`, 401 and 403 a :class:`ConfigError`, the rest
    :class:`AirflowUnreachableError`.

    :param login_hint: what to do about a missing or wrong login.
    """
    said = sentence(answer)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return ConfigError(f"Airflow does not know who is calling: {said} {login_hint}")
    if answer.status_code == HTTPStatus.FORBIDDEN:
        return ConfigError(f"Airflow does not allow this: {said} Ask for the permission, or use another login.")
    if answer.is_client_error:
        return ParameterError(f"Airflow refused this: {said}")
    return AirflowUnreachableError(f"Airflow answered {answer.status_code}: {said} Its log says more; try again later.")


def sentence(answer: httpx.Response) -> str:
    """Return what an answer says was wrong, with a full stop."""
    try:
        body = answer.json()
    except ValueError:
        return "its answer is not JSON; is the address that of an Airflow API server?"
    said = _words(body)
    first = " ".join(said[:_LONGEST].split())
    return first if first.endswith((".", "?", "!")) else f"{first}."


def _words(body: Any) -> str:
    detail = body.get("detail", body) if isinstance(body, dict) else body
    if isinstance(detail, dict) and isinstance(detail.get("error"), dict):
        detail = detail["error"].get("message", detail)
    if isinstance(detail, list):
        return "; ".join(_field(item) for item in detail)
    if isinstance(detail, dict):
        return str(detail.get("reason") or detail.get("message") or detail)
    text = str(detail)
    match = _PARAM.match(text)
    return f"{match[1]}: {match[2].partition(chr(10) * 2)[0]}" if match else text


def _field(item: Any) -> str:
    """``{"loc": ["body", "conf"], "msg": "..."}`` is FastAPI's way to name a field."""
    if not isinstance(item, dict):
        return str(item)
    place = ".".join(str(part) for part in item.get("loc", ()) if part != "body")
    return f"{place}: {item.get('msg', '')}" if place else str(item.get("msg", item))
