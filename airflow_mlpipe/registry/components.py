"""Components by name and version, with a snapshot of everything that they name.

Under the prefix lie ``components/<name>/<version>.json`` and, by content, ``component_files/<name>/<digest>/``. A
version is what its author calls it, or the next number; it never changes: other content under it is refused.
"""

import json
import secrets
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from airflow_mlpipe.content import Manifest
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.errors import ConfigError, DataError
from airflow_mlpipe.frozen import Kept, from_json, to_json
from airflow_mlpipe.snapshot import take_snapshot
from airflow_mlpipe.spec.component_files import ComponentFile
from airflow_mlpipe.spec.registered import CARD, LATEST
from airflow_mlpipe.storage import RecordStorage, from_segment, seal, segment, unseal


class ComponentStorage(RecordStorage, Protocol):
    """What the registry of components needs of a datastore."""

    def upload(self, source: Path, path: str) -> Manifest:
        """Copy a folder to a path."""

    def download(self, path: str, to: Path) -> Manifest:
        """Copy a folder to a local path that does not exist yet."""


class ComponentVersion(Kept, frozen=True, kw_only=True):
    """One version of a component; immutable.

    :param kind: command or parallel.
    :param file: the component file within the snapshot.
    :param digest: of the snapshot.
    """

    name: str
    version: str
    kind: str
    description: str = ""
    file: str
    digest: str
    created: datetime
    nonce: str


class ComponentRegistry:
    """Registers components and lays them down beside pipelines.

    :param store: holds records and snapshots.
    :param prefix: folder in it, shared with the other stores of the workspace.
    """

    def __init__(self, store: ComponentStorage, prefix: str = "mlpipe") -> None:
        self._store = store
        self._prefix = prefix

    def register(self, component: ComponentFile) -> tuple[ComponentVersion, bool]:
        """Keep a component with everything that it names.

        :returns: the version, and whether it is new; the same content again is the version that is there.
        :raises ConfigError: if this version holds other content.
        """
        with tempfile.TemporaryDirectory(prefix="mlpipe-component-") as scratch:
            folder = Path(scratch) / "component"
            _stage(component, folder)
            digest = _digest(folder)
            while True:
                there = self.versions(component.name)
                same = next((version for version in there if version.digest == digest), None)
                if same is not None and component.version in (None, same.version):
                    return same, False
                new = self._new(component, digest, there)
                self._store.upload(folder, self._files(new))
                if self._store.create(self._key(new.name, new.version), seal(to_json(new))):
                    return new, True

    def _new(self, component: ComponentFile, digest: str, there: list[ComponentVersion]) -> ComponentVersion:
        taken = {version.version for version in there}
        if component.version in taken:
            raise ConfigError(
                f"Version {component.version} of the component {component.name!r} is there with other content. "
                "Versions never change: write another 'version:' into the file, or none to get the next number."
            )
        number = max((int(version) for version in taken if version.isdecimal()), default=0) + 1
        return ComponentVersion(
            name=component.name,
            version=component.version or str(number),
            kind=component.kind,
            description=component.description,
            file=component.path.relative_to(component.root).as_posix(),
            digest=digest,
            created=datetime.now(timezone.utc),
            nonce=secrets.token_hex(16),
        )

    def get(self, name: str, version: str = LATEST) -> ComponentVersion | None:
        """Return a version, ``latest`` for the one that was registered last; ``None`` if there is none."""
        there = self.versions(name)
        if version == LATEST:
            return there[-1] if there else None
        return next((found for found in there if found.version == version), None)

    def versions(self, name: str) -> list[ComponentVersion]:
        """Return all versions, the earliest registered first.

        :raises DataError: if a record is damaged.
        """
        start = f"{self._prefix}/components/{segment(name)}/"
        found = [self._read(key) for key in self._store.keys(start)]
        return sorted(found, key=lambda version: (version.created, version.version))

    def names(self) -> list[str]:
        """Return the names of all components, sorted."""
        start = f"{self._prefix}/components/"
        return sorted({from_segment(key[len(start) :].split("/")[0]) for key in self._store.keys(start)})

    def lay_down(self, version: ComponentVersion, folder: Path) -> Path:
        """Copy a version to ``<folder>/<name>/<version>/``, unless it is there already; return that folder.

        :raises DataError: if the snapshot is damaged; nothing is left then.
        """
        target = folder / version.name / version.version
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mlpipe-", dir=target.parent) as scratch:
            fresh = Path(scratch) / "component"
            manifest = self._store.download(self._files(version), fresh)
            if manifest.digest != version.digest:
                raise DataError(
                    f"The snapshot of the component {version.name}:{version.version} is damaged. Register it again "
                    "as a new version."
                )
            card = {key: getattr(version, key) for key in ("name", "version", "file", "digest")}
            (fresh / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
            fresh.rename(target)
        return target

    def _read(self, key: str) -> ComponentVersion:
        data = self._store.read(key) or b""
        try:
            return from_json(ComponentVersion, unseal(data))
        except ValueError as error:
            raise DataError(f"The record {key} is damaged: {error}. Restore it from a backup, or delete it.") from None

    def _key(self, name: str, version: str) -> str:
        return f"{self._prefix}/components/{segment(name)}/{segment(version)}.json"

    def _files(self, version: ComponentVersion) -> str:
        digest = version.digest.partition(":")[2]
        return f"{self._prefix}/component_files/{segment(version.name)}/{digest}"


def _digest(folder: Path) -> str:
    manifest = scan(folder)
    if manifest is None:
        raise DataError(f"{folder} is gone.")
    return manifest.digest


def _stage(component: ComponentFile, folder: Path) -> None:
    """Copy the parts of a component, each at its place; ignore files of a source folder count."""
    for part in component.parts:
        target = folder / part.relative_to(component.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.is_dir():
            _merge(part, target)
        else:
            shutil.copyfile(part, target)


def _merge(part: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mlpipe-code-") as scratch:
        copy = Path(scratch) / "code"
        take_snapshot(part, (), part).copy_to(copy)
        shutil.copytree(copy, target, symlinks=True, dirs_exist_ok=True)
