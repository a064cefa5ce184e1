"""Inputs from, and outputs to, Azure Blob Storage, on the machine of the job: with the rights that came with it.

The rights are signed queries. They are never put into a message: what fails is named by its address alone.
"""

from __future__ import annotations

import contextlib
import io
import re
import time
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from airflow_mlpipe.compute.far_side.digests import tree_files

_VERSION = "2021-12-02"
_BLOCK = 1 << 20
_TRIES = 6
_PATIENCE = 120.0
_LARGEST = 5000 << 20
_AGAIN = (408, 429, 500, 502, 503, 504)
_THERE = (409, 412)
_REASONS: dict[int | str, str] = {
    403: "Azure refuses the signature: it has expired, this machine's clock is wrong, or the network is not allowed",
    404: "it is not there any more",
}
_CODE = r"(?:0[0-9a-f]|1[0-9a-f]|20|2e|5c|7[ef]|[89a-f][0-9a-f])"
_UNSAFE = re.compile(rf"[\x00-\x1f\x7f-\x9f\\\ufffe\uffff\udc80-\udcff]|[. ]\Z|~(?={_CODE})")
_FOLDER = {"x-ms-meta-hdi_isfolder": "true"}


class TransferError(OSError):
    """Data did not arrive."""


def fetch(data: dict[str, Any], place: Path) -> None:
    """Copy what may be read.

    :param data: plain values of ``RemoteData``.
    :raises TransferError: if it changed since, or does not arrive.
    """
    if data["is_file"]:
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(data["files"][0], place)
        return
    place.mkdir(parents=True, exist_ok=True)
    for path in data["empty"]:
        _inside(place, path).mkdir(parents=True, exist_ok=True)
    for file in data["files"]:
        target = _inside(place, file[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(file, target)


def to_blob_name(path: str) -> str:
    """Return the name of the blob that holds a path: the same as the datastore's, which cannot come along here."""
    return "/".join(_UNSAFE.sub(_escape, segment) for segment in path.split("/"))


def _escape(match: re.Match[str]) -> str:
    return "".join(f"~{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))


def send(place: Path, data: dict[str, Any]) -> None:
    """Copy an output, if there is one, to where nothing is yet.

    :raises TransferError: if it does not arrive.
    """
    files = [("", place)] if place.is_file() else tree_files(place) if place.is_dir() else []
    for path, file in files:
        url = f"{data['url']}/{quote(to_blob_name(path.rstrip('/')), safe='/')}" if path else data["url"]
        made = put(url, data["query"], b"", _FOLDER) if path.endswith("/") else put(url, data["query"], file)
        if not made:
            raise TransferError(f"{url} is there already, but nobody else should write to it.")


def claim(data: dict[str, Any], content: bytes) -> bool:
    """Create a blob that we may also read; return whether what is there is ours."""
    put(data["url"], data["query"], content)
    return get(data["url"], data["query"]) == content


def put(url: str, query: str, source: Path | bytes, marks: dict[str, str] | None = None) -> bool:
    """Create a blob; ``False`` if there was one before.

    :param marks: further headers.
    :raises TransferError: if it does not arrive.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > _LARGEST:
        raise TransferError(f"{url} has {size} bytes; a job can write at most {_LARGEST} in one file. Write several.")
    headers = {"x-ms-blob-type": "BlockBlob", "Content-Length": str(size), "Content-Type": "application/octet-stream"}
    headers.update(marks or {})
    for turn in range(_TRIES):
        with contextlib.closing(io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")) as body:
            status, _ = _ask("PUT", url, query, {**headers, "If-None-Match": "*"}, body)
        if status == 201:
            return True
        if status in _THERE:
            return turn > 0  # the reply to an earlier try was lost
        _pause(turn, url, status)
    return False


def get(url: str, query: str) -> bytes:
    """Return a small blob.

    :raises TransferError: if it does not arrive.
    """
    for turn in range(_TRIES):
        sink = io.BytesIO()
        status, _ = _ask("GET", url, query, {}, None, sink)
        if status == 200:
            return sink.getvalue()
        _pause(turn, url, status)
    return b""


def _copy(file: list[Any], place: Path) -> None:
    _, size, version, url, query = file
    for turn in range(_TRIES):
        with place.open("wb") as sink:
            status, copied = _ask("GET", url, query, {"If-Match": version}, None, sink)
        if status == 200 and copied == size:
            return
        if status == 412:
            raise TransferError(f"{url} changed since the job was submitted. Retry when it is at rest.")
        _pause(turn, url, f"{copied} of {size} bytes" if status == 200 else status)


def _ask(
    method: str, url: str, query: str, headers: dict[str, str], body: BinaryIO | None, sink: BinaryIO | None = None
) -> tuple[int | str, int]:
    """Send one request; return its status, or what went wrong with the connection, and how much was copied."""
    copied = 0
    # The address is one of ours, checked where it was made.
    request = Request(f"{url}?{query}", data=body, method=method, headers={**headers, "x-ms-version": _VERSION})  # noqa: S310
    try:
        with _opener().open(request, timeout=_PATIENCE) as answer:
            data = answer.read(_BLOCK)
            while data:
                copied += len(data)
                if sink is not None:
                    sink.write(data)
                data = answer.read(_BLOCK)
            return answer.status, copied
    except HTTPError as error:
        with error:
            code = error.headers.get("x-ms-error-code")
            overwrites = method == "PUT" and code == "AuthorizationPermissionMismatch"
            return 409 if overwrites else error.code, copied  # the right is to create, so there is something
    except URLError as error:
        return type(error.reason).__name__, copied
    except (OSError, HTTPException) as error:
        return type(error).__name__, copied


class _Patient(HTTPConnection):
    """Hears a server out that answers before it has read all: it may refuse, and say why."""

    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except (BrokenPipeError, ConnectionResetError):
            if self.sock is None:
                raise


class _PatientHttps(_Patient, HTTPSConnection):
    """The same over TLS."""


class _Http(HTTPHandler):
    def http_open(self, request: Request) -> Any:
        return self.do_open(_Patient, request)


class _Https(HTTPSHandler):
    def https_open(self, request: Request) -> Any:
        return self.do_open(_PatientHttps, request)


@lru_cache(None)
def _opener() -> OpenerDirector:
    return build_opener(_Http, _Https)


def _pause(turn: int, url: str, seen: int | str) -> None:
    """Wait before the next try.

    :raises TransferError: if there is none, or it would be in vain.
    """
    if (isinstance(seen, int) and seen not in _AGAIN) or turn + 1 == _TRIES:
        raise TransferError(f"{url} cannot be copied: {_REASONS.get(seen, f'it ended with {seen}')}.")
    time.sleep(min(2.0**turn, 30))


def _inside(root: Path, path: str) -> Path:
    """Return the place of a file below a folder.

    :raises TransferError: if it would lie elsewhere.
    """
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise TransferError(f"{path!r} is not a path below a folder.")
    return root / path
