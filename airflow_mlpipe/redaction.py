"""Keeping secrets out of texts: errors, logs, records.

A secret that is known is removed as it is, URL-encoded and in base64; what looks like one is removed without being
known: the query of every URL (a shared access signature is one), bearer tokens, ``AccountKey=`` of a connection string.
"""

from __future__ import annotations

import logging
import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from airflow_mlpipe.errors import ConfigError

HIDDEN = "***"
_SHORTEST = 4
_PATTERNS = (
    (re.compile(r"(https?://[^\s?'\"<>]*)\?[^\s'\"<>]*", re.IGNORECASE), rf"\1?{HIDDEN}"),
    (re.compile(r"(https?://)[^\s/@'\"<>]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(Bearer|SharedKey(?:Lite)?)\s+[A-Za-z0-9._~+/=:-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"(?:\b|(?<=%3F)|(?<=%26))(AccountKey|SharedAccessSignature|sig|sv)(=|%3D)[^\s;&'\"<>]+", re.IGNORECASE
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), HIDDEN),
)
_SPEAKERS = ("urllib3.connectionpool", "azure.core.pipeline.policies.http_logging_policy")
"""Loggers of libraries that write URLs with their queries, or every request."""


class Secret:
    """A text that is shown only to whoever calls :meth:`reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("A secret is not written anywhere.")


def read_secret(where: str, value: object, folder: Path) -> Secret:
    """Return a secret from where a setting says that it is kept, ``{env: NAME}`` or ``{file: PATH}``.

    :param where: names the setting in errors.
    :param folder: where a relative path starts.
    :raises ConfigError: if it is written out, missing or empty.
    """
    if isinstance(value, Secret):
        return value
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in ("env", "file"):
        raise ConfigError(
            f"{where} must say where the secret is kept, not the secret itself: {{env: NAME}} or {{file: PATH}}."
        )
    ((kind, place),) = value.items()
    if kind == "env":
        text = os.environ.get(str(place), "")
        if not text:
            raise ConfigError(f"{where}: the environment variable {place} is not set or empty.")
    else:
        path = folder / Path(str(place)).expanduser()
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: the file {path} cannot be read: {_reason(error)}.") from None
        if not text:
            raise ConfigError(f"{where}: the file {path} is empty.")
    return Secret(text)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "unknown error") if isinstance(error, OSError) else "it is not UTF-8 text"


class Redactor:
    """Removes secrets from texts.

    :param secrets: what must not be seen.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        self._known = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None

    def clean(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known:
            text = self._known.sub(HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _forms(secret: str) -> set[str]:
    """Return a secret in the forms in which it turns up."""
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    raw = secret.encode("utf-8", "surrogatepass")
    for encoded in (b64encode(raw), urlsafe_b64encode(raw)):
        forms |= {encoded.decode(), encoded.decode().rstrip("="), quote(encoded.decode(), safe="")}
    return forms


class _QuietFilter(logging.Filter):
    """Removes secrets that can be told by their look from the lines of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            return True
        record.msg, record.args = _bare_queries(Redactor().clean(text)), ()
        return True


def _bare_queries(text: str) -> str:
    """Remove queries of addresses that are written without their host, as urllib3 does."""
    return re.sub(r"(\s\"?[A-Z]* ?/[^\s?'\"]*)\?[^\s'\"]*", rf"\1?{HIDDEN}", text)


def quieten_libraries() -> None:
    """Keep URLs with signatures out of the logs of the libraries that would write them, whatever their level."""
    for name in _SPEAKERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _QuietFilter) for known in logger.filters):
            logger.addFilter(_QuietFilter())
    requests = logging.getLogger(_SPEAKERS[1])
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)
