"""Files on web servers, to be read: verified TLS, no way to private machines, resumed downloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import quote

from blake3 import blake3

from airflow_mlpipe.content import ContentSummary, FileEntry, Manifest
from airflow_mlpipe.content.markers import marker_of
from airflow_mlpipe.datastores.base import Datastore, Progress
from airflow_mlpipe.datastores.https_client import Client, Limits, Reply, shown
from airflow_mlpipe.datastores.https_part import Part
from airflow_mlpipe.datastores.paths import data_segments
from airflow_mlpipe.datastores.settings import check_settings
from airflow_mlpipe.errors import ConfigError, DataError, StoreError

_KNOWN = ("type", "url", "max_bytes", "allow_private", "timeout")


class HttpsDatastore(Datastore):
    """Files below a URL, see :class:`~airflow_mlpipe.datastores.base.Datastore`; reads only, one file at a time.

    A server that gives a strong ETag, or a date of change that is a minute old together with a length, vouches for the
    content: that is the identity, and no bytes are read to see whether a file is another one. From any other server the
    file is read and its digest taken.

    :param name: the name under which the workspace knows it.
    :param url: what every path is below; ``None``: a path begins with the host, as in an ``https://`` input.
    :param limits: what is allowed.
    """

    def __init__(self, name: str, url: str | None = None, limits: Limits | None = None) -> None:
        self.name = name
        self._url = url
        self._client = Client(limits or Limits())

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any], folder: Path) -> HttpsDatastore:  # noqa: ARG003 - same for all types
        """Open it from ``{type: https, url?: https://..., max_bytes?: int, allow_private?: bool, timeout?: seconds}``.

        Authorities that are trusted beyond the usual ones are named by ``SSL_CERT_FILE`` in the environment.

        :raises ConfigError: if a setting is unknown or wrong.
        """
        check_settings(name, config, _KNOWN)
        url = config.get("url")
        if url is not None and not (isinstance(url, str) and url.startswith("https://") and "?" not in url):
            raise ConfigError(f"Datastore {name!r}: url is {shown(str(url))!r}; write https://<host>/<path>.")
        limits = {key: config[key] for key in ("max_bytes", "allow_private", "timeout") if key in config}
        wrong = [
            key
            for key, value in limits.items()
            if isinstance(value, bool) != (key == "allow_private") or not isinstance(value, (int, float)) or value < 0
        ]
        if wrong:
            raise ConfigError(f"Datastore {name!r}: {wrong[0]} is {limits[wrong[0]]!r}; see docs/workspace.md.")
        return cls(name, url, Limits(**limits))

    def local_path(self, path: str) -> Path | None:  # noqa: ARG002 - nothing of it lies here
        """Return ``None``: nothing of it lies on this machine."""
        return None

    def summary(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the marker of a file if its server vouches for it, else its content, which is read for that."""
        url = self._place(path, include)
        with self._client.ask("HEAD", url) as reply:
            if reply is None:
                return None
            size, mark = reply.size, reply.mark
        if mark is not None and size is not None:
            return ContentSummary(marker_of("etag:", [(shown(url), mark, size)], "file"), 1, size, "file")
        manifest = self.manifest(path)
        return None if manifest is None else manifest.summary

    def manifest(self, path: str, include: Sequence[str] | None = None) -> Manifest | None:
        """Read a file and return its manifest; nothing is kept."""
        url = self._place(path, include)
        with self._client.ask("GET", url) as reply:
            if reply is None:
                return None
            hasher, size = blake3(), 0
            for block in reply.blocks():
                hasher.update(block)
                size += len(block)
        return _manifest(_name(path), size, hasher.hexdigest())

    def marker(self, path: str, include: Sequence[str] | None = None) -> ContentSummary | None:
        """Return the same as :meth:`summary`: it reads bytes only where the server vouches for nothing."""
        return self.summary(path, include)

    def download(
        self, path: str, to: Path, include: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Manifest:
        """Copy a file, going on where an earlier try to the same place was cut off if it is still the same file.

        :raises DataError: if there is nothing, it is too large, its server lies or breaks off.
        """
        url = self._place(path, include)
        part = Part(to, url)
        with self._client.ask("GET", url, part.headers()) as reply:
            if reply is None:
                raise DataError(f"There is nothing at {shown(url)}. Check the address.")
            digest, size = part.receive(reply, _meter(reply, progress))
        part.finish()
        return _manifest(to.name, size, digest)

    def upload(self, source: Path, path: str, progress: Progress | None = None) -> Manifest:  # noqa: ARG002 - refused
        """Refuse.

        :raises DataError: always.
        """
        raise DataError(f"Datastore {self.name!r} is a web server, which is only read. Write to another datastore.")

    def remove(self, path: str) -> bool:  # noqa: ARG002 - refused
        """Refuse.

        :raises DataError: always.
        """
        raise DataError(f"Datastore {self.name!r} is a web server, which is only read. Write to another datastore.")

    def read(self, key: str) -> bytes | None:
        """Refuse, as all verbs for records.

        :raises StoreError: always.
        """
        self._no_records(key)

    def create(self, key: str, data: bytes) -> bool:  # noqa: ARG002 - refused
        """Refuse."""
        self._no_records(key)

    def replace(self, key: str, data: bytes) -> None:  # noqa: ARG002 - refused
        """Refuse."""
        self._no_records(key)

    def delete(self, key: str) -> bool:
        """Refuse."""
        self._no_records(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Refuse."""
        self._no_records(prefix)

    def _no_records(self, key: str) -> NoReturn:
        raise StoreError(
            f"Datastore {self.name!r} is a web server and keeps no records such as {key!r}. "
            "Name another one as default_datastore."
        )

    def _place(self, path: str, include: Sequence[str] | None) -> str:
        if include is not None:
            raise DataError(f"A web server gives single files, so no files of {path!r} can be chosen by name.")
        if self._url is None:
            return f"https://{path}"
        return "/".join([self._url.rstrip("/"), *(quote(name) for name in data_segments(path))])


def _name(path: str) -> str:
    return PurePosixPath(path.partition("?")[0]).name


def _manifest(name: str, size: int, digest: str) -> Manifest:
    return Manifest.of([FileEntry(name, size, f"blake3:{digest}")], kind="file")


def _meter(reply: Reply, progress: Progress | None) -> Iterator[bytes]:
    for block in reply.blocks():
        if progress is not None:
            progress(len(block))
        yield block
