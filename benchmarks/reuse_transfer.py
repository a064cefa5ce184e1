"""Data to and from Azure Blob Storage (Azurite): this product against rclone and against Azure's own SDK."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from airflow_mlpipe.content import FileEntry
from airflow_mlpipe.content.digest import scan
from airflow_mlpipe.testing.azurite import AzuriteServer
from benchmarks import azure_sdk, rclone
from benchmarks.azure_sdk import Place
from benchmarks.measure import BenchmarkError, Sample, interleave, run_here
from benchmarks.pipelines import write_big_data
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings

BIG_FILE = 256 << 20
SMALL_FILES = 5_000
_OURS, _RCLONE, _SDK = "airflow-mlpipe", "rclone copy", "azure-storage-blob"
Up = Callable[[Place, Path], Sample]
Down = Callable[[Place, Path, Path], Sample]


@dataclass(frozen=True)
class Data:
    """What is moved.

    :param folder: on this machine.
    :param title: for people.
    :param flags: the best ones of rclone for it.
    """

    folder: Path
    title: str
    flags: tuple[str, ...]


def run(settings: Settings) -> list[Report]:
    """Measure one big file, then many small ones, both ways."""
    rclone.ensure()
    settings.say(f"writing {BIG_FILE >> 20} MiB and {SMALL_FILES:,} files")
    folder = settings.folder / "data"
    write_big_data(folder, BIG_FILE, SMALL_FILES)
    big = Data(folder / "one", f"{BIG_FILE >> 20} MiB in one file", rclone.LARGE)
    small = Data(folder / "many", f"{SMALL_FILES:,} files of 10 KiB", rclone.SMALL)
    with AzuriteServer(settings.folder / "azurite") as server:
        return [report for data in (big, small) for report in both_ways(settings, server, data)]


def both_ways(settings: Settings, server: AzuriteServer, data: Data) -> list[Report]:
    """Measure uploads and downloads of the same data."""
    settings.say(f"{data.title}, uploads: {settings.repeats} rounds")
    uploads = interleave(
        {name: partial(_uploaded, server, data, up) for name, up in _ups(settings, data).items()}, settings.repeats
    )
    settings.say(f"{data.title}, downloads: {settings.repeats} rounds")
    place = Place.fresh(server)
    ours_up(settings.folder, place, data.folder)
    downloads = interleave(
        {name: partial(_downloaded, settings, place, data, down) for name, down in _downs(settings, data).items()},
        settings.repeats,
    )
    place.drop()
    return [
        _report(f"{data.title}, to Azurite", uploads, data),
        _report(f"{data.title}, from Azurite", downloads, data),
    ]


def ours_up(folder: Path, place: Place, source: Path) -> Sample:
    """Upload with this product, in a process that is up as a worker is; hashed, checked by the service, provable later.

    :param folder: for the memo of digests.
    """
    store = place.server.datastore(container=place.container, memo=folder / f"{place.container}.sqlite")
    return run_here(lambda: store.upload(source, source.name))


def ours_down(folder: Path, place: Place, source: Path, to: Path) -> Sample:
    """Download with this product: hashed, compared with what was sent, synced, there whole or not at all."""
    store = place.server.datastore(container=place.container, memo=folder / f"{place.container}.sqlite")
    return run_here(lambda: store.download(source.name, to))


def _ups(settings: Settings, data: Data) -> dict[str, Up]:
    return {
        _OURS: partial(ours_up, settings.folder),
        _RCLONE: lambda place, source: rclone.upload(place, source, data.flags),
        _SDK: lambda place, source: _with_sdk(place, lambda client: azure_sdk.upload(client, source)),
    }


def _downs(settings: Settings, data: Data) -> dict[str, Down]:
    return {
        _OURS: partial(ours_down, settings.folder),
        _RCLONE: lambda place, source, to: rclone.download(place, source.name, to, data.flags),
        _SDK: lambda place, source, to: _with_sdk(place, lambda client: azure_sdk.download(client, source.name, to)),
    }


def _with_sdk(place: Place, work: Callable[[azure_sdk.ContainerClient], None]) -> Sample:
    client = place.client()
    return run_here(lambda: work(client))


def _uploaded(server: AzuriteServer, data: Data, up: Up) -> Sample:
    """Upload to a container of its own, and look whether everything is there."""
    place = Place.fresh(server)
    sample = up(place, data.folder)
    there = {name: size for name, size in place.sizes().items() if name.startswith(f"{data.folder.name}/")}
    sent = {f"{data.folder.name}/{entry.path}": entry.size for entry in _sent(data)}
    place.drop()
    if there != sent:
        raise BenchmarkError(f"{len(there)} blobs with {sum(there.values())} bytes arrived instead of {len(sent)}")
    return sample


def _downloaded(settings: Settings, place: Place, data: Data, down: Down) -> Sample:
    """Download to a fresh folder, and look whether everything arrived; what a peer left unsynced is nobody's burden."""
    to = settings.folder / f"copy-{secrets.token_hex(4)}"
    sample = down(place, data.folder, to)
    same = scan(to) == scan(data.folder)
    os.sync()
    shutil.rmtree(to)
    if not same:
        raise BenchmarkError(f"what arrived is not what was sent: {data.title}")
    return sample


def _sent(data: Data) -> tuple[FileEntry, ...]:
    manifest = scan(data.folder)
    if manifest is None:
        raise BenchmarkError(f"there is nothing at {data.folder}")
    return manifest.entries


def _report(title: str, samples: Mapping[str, list[Sample]], data: Data) -> Report:
    ours = Row(_OURS, samples[_OURS])
    peers = [compared(name, samples[name], ours) for name in (_RCLONE, _SDK)]
    bounds = [Bound(f"{row.what} takes at least as long", row.ratio or 0.0, 1.0, "at least", "x") for row in peers]
    notes = [
        f"{rclone.version()} {' '.join(data.flags)}; a whole process.",
        f"{azure_sdk.SETTINGS}.",
        "Only ours hashes what it moves, proves it, and syncs what it wrote to the disk.",
    ]
    return Report(title, [ours, *peers], bounds, notes)
