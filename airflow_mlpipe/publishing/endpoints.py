"""Endpoints: names that stay while the version behind them changes.

Each change is a record of its own, ``endpoints/<name>/<revision>.json``, taken by put-if-absent; the highest counts.
Two people who change an endpoint at once come one after the other, and who changed what can be read later.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from airflow_mlpipe.errors import ConfigError, DataError, ParameterError
from airflow_mlpipe.frozen import from_json, replaced, to_json
from airflow_mlpipe.publishing.base import Endpoint, EndpointVersion, PublishedPipeline
from airflow_mlpipe.publishing.names import checked_name
from airflow_mlpipe.storage import RecordStorage, from_segment, seal, segment, unseal

Change = Callable[[Endpoint], Mapping[str, Any]]
"""From what an endpoint is to the fields that change."""


class Endpoints:
    """Keeps, changes and finds endpoints.

    :param storage: where the records lie.
    :param prefix: folder in it, shared with all other records.
    """

    def __init__(self, storage: RecordStorage, prefix: str = "mlpipe") -> None:
        self._storage = storage
        self._prefix = prefix

    def create(self, name: str, pipeline: PublishedPipeline, description: str = "") -> Endpoint:
        """Make an endpoint with a published pipeline as its version 0, which is the default.

        :raises ConfigError: if the name is not allowed or taken.
        """
        first = Endpoint(
            name=checked_name("endpoint", name),
            revision=1,
            change=f"created with {_reference(pipeline)}",
            description=description,
            versions=[_version(0, pipeline)],
            nonce=secrets.token_hex(16),
            changed=datetime.now(timezone.utc),
        )
        if not self._create(first):
            raise ConfigError(
                f"There is an endpoint {name!r} already. To let it lead to another pipeline: mlpipe endpoints add."
            )
        return first

    def add(self, name: str, pipeline: PublishedPipeline, make_default: bool = False) -> Endpoint:
        """Add a published pipeline as the next version of an endpoint; one that it has already is not added again.

        :param make_default: let calls go to it from now on.
        """

        def change(now: Endpoint) -> dict[str, Any]:
            known = {version.pipeline: version.number for version in now.versions}
            number = known.get(_reference(pipeline), len(now.versions))
            versions = now.versions if number < len(now.versions) else [*now.versions, _version(number, pipeline)]
            default = number if make_default else now.default
            return {"versions": versions, "default": default}

        return self._change(name, f"added {_reference(pipeline)}" + (" as default" if make_default else ""), change)

    def set_default(self, name: str, number: int) -> Endpoint:
        """Let calls go to another version.

        :raises ConfigError: if the endpoint has no such version.
        """

        def change(now: Endpoint) -> dict[str, Any]:
            _numbered(now, number)
            return {"default": number}

        return self._change(name, f"default set to version {number}", change)

    def enable(self, name: str) -> Endpoint:
        """Let calls in again; an archived endpoint comes back into the lists."""
        return self._change(name, "enabled", lambda _: {"enabled": True, "archived": False})

    def disable(self, name: str) -> Endpoint:
        """Refuse calls until it is enabled."""
        return self._change(name, "disabled", lambda _: {"enabled": False})

    def archive(self, name: str) -> Endpoint:
        """Refuse calls and leave it out of the lists; its name stays taken."""
        return self._change(name, "archived", lambda _: {"enabled": False, "archived": True})

    def names(self) -> list[str]:
        """Return the names of all endpoints, archived ones too, sorted."""
        start = f"{self._prefix}/endpoints/"
        return sorted({from_segment(key[len(start) :].split("/")[0]) for key in self._storage.keys(start)})

    def get(self, name: str) -> Endpoint:
        """Return what an endpoint is now.

        :raises ConfigError: if there is none.
        :raises DataError: if its latest record is damaged: an older one may lead to the wrong pipeline.
        """
        history = self.history(name)
        if not history:
            raise ConfigError(f"There is no endpoint {name!r}. There is: {', '.join(self.names()) or 'none'}.")
        return history[-1]

    def history(self, name: str) -> list[Endpoint]:
        """Return every change of an endpoint, the earliest first."""
        start = f"{self._prefix}/endpoints/{segment(checked_name('endpoint', name))}/"
        return [self._read(key) for key in sorted(self._storage.keys(start)) if key.endswith(".json")]

    def resolve(self, name: str, number: int | None = None) -> tuple[Endpoint, EndpointVersion]:
        """Return where a call goes.

        :param number: version that the caller wants; ``None`` for the default.
        :raises ConfigError: if there is no such endpoint or version.
        :raises ParameterError: if the endpoint takes no calls.
        """
        now = self.get(name)
        if now.archived or not now.enabled:
            raise ParameterError(f"The endpoint {name!r} is {now.status} and takes no calls.")
        return now, _numbered(now, now.default if number is None else number)

    def _change(self, name: str, what: str, change: Change) -> Endpoint:
        while True:
            now = self.get(name)
            fields = change(now)
            if all(getattr(now, key) == value for key, value in fields.items()):
                return now
            stamp = {"nonce": secrets.token_hex(16), "changed": datetime.now(timezone.utc)}
            new = replaced(now, **fields, revision=now.revision + 1, change=what, **stamp)
            if self._create(new):
                return new

    def _create(self, state: Endpoint) -> bool:
        key = f"{self._prefix}/endpoints/{segment(state.name)}/{state.revision:08d}.json"
        return self._storage.create(key, seal(to_json(state)))

    def _read(self, key: str) -> Endpoint:
        try:
            return from_json(Endpoint, unseal(self._storage.read(key) or b""))
        except ValueError as error:
            raise DataError(
                f"The endpoint record {key} is damaged ({error}). Restore it from a backup, or create another endpoint."
            ) from None


def _version(number: int, pipeline: PublishedPipeline) -> EndpointVersion:
    return EndpointVersion(
        number=number, pipeline=_reference(pipeline), dag_id=pipeline.dag_id, added=datetime.now(timezone.utc)
    )


def _reference(pipeline: PublishedPipeline) -> str:
    return f"{pipeline.name}:{pipeline.version}"


def _numbered(endpoint: Endpoint, number: int) -> EndpointVersion:
    if not 0 <= number < len(endpoint.versions):
        known = ", ".join(f"{version.number} ({version.pipeline})" for version in endpoint.versions)
        raise ConfigError(f"The endpoint {endpoint.name!r} has no version {number}. It has: {known}.")
    return endpoint.versions[number]
