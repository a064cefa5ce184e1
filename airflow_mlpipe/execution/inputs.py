"""Finding the data behind an input: where it lies, and what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_mlpipe.content import ContentSummary, DataRef, Manifest
from airflow_mlpipe.content.markers import is_marker, stat_summary
from airflow_mlpipe.errors import DataError, ParameterError
from airflow_mlpipe.execution.partitions import partition_files
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.frozen import replaced
from airflow_mlpipe.registry.base import AssetKind
from airflow_mlpipe.spec import expressions
from airflow_mlpipe.spec.expressions import OutputRef
from airflow_mlpipe.spec.paths import is_remote
from airflow_mlpipe.spec.step import MARKED, MODEL_TYPES, InputData
from airflow_mlpipe.workspace import WEB, Workspace

_DATASTORE_URI = re.compile(r"azureml://datastores/([^/]+)/paths/(.*)")
_ASSET = re.compile(r"azureml:([^:@/]+)(?:@(latest)|:([0-9]+))")

OutputsOf = Callable[[str], "Mapping[str, DataRef] | None"]
"""Gives the outputs of an upstream step in this run, ``None`` while they are not known."""


class NotYetKnownError(Exception):
    """An upstream step has not ended, so this step cannot be resolved yet.

    :param step: the upstream step.
    """

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


@dataclass(frozen=True)
class ResolvedInput:
    """Data of an input at its place.

    :param datastore: name of its datastore, ``None`` for a path of this machine.
    :param path: within the datastore, or absolute.
    :param type: Azure ML data type.
    :param content: identity of what it holds.
    :param include: the only files of the folder that belong to it.
    :param counts: whether a change of it makes another step.
    :param origin: for lineage: ``name:version`` of an asset, else the address.
    """

    datastore: str | None
    path: str
    type: str
    content: ContentSummary
    include: tuple[str, ...] | None
    counts: bool
    origin: str

    @property
    def marked(self) -> bool:
        """Whether its identity is a marker, which says nothing about bytes."""
        return is_marker(self.content.digest)

    def current(self, workspace: Workspace) -> ContentSummary | None:
        """Return the identity of what lies there now, of the same kind as :attr:`content`."""
        return content_now(workspace, self.datastore, self.path, self.include, self.marked)

    def is_copied_by(self, manifest: Manifest, workspace: Workspace) -> bool:
        """Return whether a copy that was just made holds what was resolved.

        :param manifest: of the copy.
        """
        if not self.marked:
            return manifest.digest == self.content.digest
        now = self.current(workspace)
        return now is not None and now.digest == self.content.digest

    def manifest(self, workspace: Workspace) -> Manifest | None:
        """Return every file of what lies there now."""
        if self.datastore is None:
            return workspace.memo.manifest(Path(self.path), self.include)
        return workspace.datastore(self.datastore).manifest(self.path, self.include)


def content_now(
    workspace: Workspace, datastore: str | None, path: str, include: Sequence[str] | None, marked: bool
) -> ContentSummary | None:
    """Return the identity of what lies at a place now, ``None`` if nothing is there.

    :param datastore: name of its datastore, ``None`` for a path of this machine.
    :param include: the only files of the folder that count.
    :param marked: take the cheap marker and read no bytes.
    """
    if datastore is None:
        return stat_summary(path, include) if marked else workspace.memo.summary(Path(path), include)
    store = workspace.datastore(datastore)
    return store.marker(path, include) if marked else store.summary(path, include)


class InputResolver:
    """Resolves the data inputs of one step.

    :param workspace: where data is found.
    :param run: the run.
    :param outputs_of: gives what upstream steps left.
    """

    def __init__(self, workspace: Workspace, run: RunInfo, outputs_of: OutputsOf) -> None:
        self._workspace = workspace
        self._run = run
        self._outputs_of = outputs_of

    def resolve(self, data: InputData, where: str) -> ResolvedInput | None:
        """Return where an input lies and what it holds, ``None`` for an optional one that is not there.

        :param data: as the author wrote it.
        :param where: named in errors, ``step train, input features``.
        :raises NotYetKnownError: if an upstream step has not ended.
        :raises DataError: if there is nothing, or not all that the partitions name.
        """
        data = self._chosen(data, where)
        upstream = self._upstream(data, where)
        found = upstream if upstream is not None else self._stored(data, where)
        if found is None and not data.optional:
            raise DataError(f"{where}: there is no data at {data.path}. Check the path, or mark the input as optional.")
        return found

    def _chosen(self, data: InputData, where: str) -> InputData:
        """Return the input at the address that the run gives for it, if it gives one."""
        given = self._run.parameters.get(data.parameter) if data.parameter else None
        if given is None:
            return data
        if not isinstance(given, str) or "${{" in given:
            raise ParameterError(f"{where}: the parameter {data.parameter} must be an address of data, not {given!r}.")
        return replaced(data, path=given)

    def _upstream(self, data: InputData, where: str) -> ResolvedInput | None:
        parts = expressions.parse(data.path)
        if len(parts) != 1 or not isinstance(parts[0], OutputRef):
            return None
        reference = parts[0]
        outputs = self._outputs_of(reference.job)
        if outputs is None:
            raise NotYetKnownError(reference.job)
        found = outputs.get(reference.port)
        if found is None:
            if data.optional:
                return None
            raise DataError(
                f"{where}: step {reference.job} left its optional output {reference.port!r} empty. "
                "Mark this input as optional too."
            )
        return self._of_ref(found, data, f"{reference.job}.{reference.port}")

    def _of_ref(self, found: DataRef, data: InputData, origin: str) -> ResolvedInput:
        return ResolvedInput(
            found.datastore, found.path, found.type, found.content, None, data.identity != "ignore", origin
        )

    def _stored(self, data: InputData, where: str) -> ResolvedInput | None:
        if "${{" in data.path:
            return None
        asset = _ASSET.fullmatch(data.path)
        if asset:
            return self._asset(asset, data)
        uri = _DATASTORE_URI.fullmatch(data.path)
        if uri is None and ":" in data.path.split("/", 1)[0] and not is_remote(data.path):
            raise DataError(
                f"{where}: {data.path!r} is no address that this version reads. Allowed: a local path, "
                "azureml://datastores/<name>/paths/<path>, azureml:<name>:<version>, azureml:<name>@latest."
            )
        include = partition_files(data.partitions, self._run, where) if data.partitions else None
        datastore, path = self._address(data.path, uri)
        content = content_now(self._workspace, datastore, path, include, data.identity in MARKED)
        if content is None:
            return None
        place = ResolvedInput(datastore, path, data.type, content, include, data.identity != "ignore", data.path)
        self._check_partitions(place, where)
        return place

    def _address(self, path: str, uri: re.Match[str] | None) -> tuple[str | None, str]:
        """Return datastore and path of an address, the absolute path for one of this machine."""
        if uri is not None:
            return uri.group(1), uri.group(2).strip("/")
        if is_remote(path):
            return WEB, path.partition("://")[2]
        return None, str((self._run.base / path).resolve())

    def _check_partitions(self, place: ResolvedInput, where: str) -> None:
        if place.include is None or place.content.files == len(place.include):
            return
        manifest = place.manifest(self._workspace)
        there = {entry.path for entry in manifest.entries} if manifest else set()
        missing = [name for name in place.include if name not in there]
        raise DataError(
            f"{where}: {len(missing)} of {len(place.include)} files are missing in {place.origin}: "
            f"{', '.join(missing[:5])}."
        )

    def _asset(self, match: re.Match[str], data: InputData) -> ResolvedInput | None:
        name, latest, number = match.groups()
        kind: AssetKind = "model" if data.type in MODEL_TYPES else "dataset"
        asset = self._workspace.registry.get(kind, name, "latest" if latest else int(number))
        if asset is None:
            return None
        return self._of_ref(asset.data, data, f"{name}:{asset.version}")
