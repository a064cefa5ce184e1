"""The identity of many blobs, from their list and known ETags, against the bare requests for that list."""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.testing.azurite import AzuriteServer
from benchmarks.azure_sdk import Place
from benchmarks.measure import BenchmarkError, Sample, interleave, run_here
from benchmarks.report import Bound, Report, Row, compared
from benchmarks.settings import Settings

BLOBS = 20_000
_FOLDER = "many"
_OURS, _RAW = "datastore.summary", "GET ...?comp=list, answers thrown away"
_MARKER = re.compile(rb"<NextMarker>([^<]+)</NextMarker>")


def run(settings: Settings) -> list[Report]:
    """Upload the blobs, then look at them by turns."""
    with AzuriteServer(settings.folder / "azurite") as server:
        settings.say(f"uploading {BLOBS:,} blobs")
        place = Place.fresh(server)
        store = fill(settings.folder, place, BLOBS)
        settings.say(f"{BLOBS:,} blobs: {settings.repeats} rounds")
        ours(store, BLOBS)
        raw(place, BLOBS)
        samples = interleave({_OURS: lambda: ours(store, BLOBS), _RAW: lambda: raw(place, BLOBS)}, settings.repeats)
    peer = Row(_RAW, samples[_RAW])
    row = compared(_OURS, samples[_OURS], peer)
    bound = Bound(
        "the identity takes at most 1.3 times as long as the list alone", row.ratio or 0.0, 1.3, "at most", "x"
    )
    note = "Pages of 5,000 with metadata. The identity is the digest over names, sizes and contents; no blob is read."
    return [Report(f"Identity of {BLOBS:,} blobs on Azurite", [row, peer], [bound], [note])]


def fill(folder: Path, place: Place, blobs: int) -> AzureBlobDatastore:
    """Upload so many files of a few bytes, and return the datastore that knows them."""
    source = folder / _FOLDER
    for number in range(blobs):
        path = source / f"{number // 200:03d}" / f"{number:05d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    store = place.server.datastore(container=place.container, memo=folder / "memo.sqlite")
    store.upload(source, _FOLDER)
    return store


def ours(store: AzureBlobDatastore, blobs: int) -> Sample:
    """Take the identity of the folder.

    :raises BenchmarkError: if it holds another number of files.
    """
    seen: list[int] = []
    sample = run_here(lambda: seen.append(summary.files if (summary := store.summary(_FOLDER)) else 0))
    if seen != [blobs]:
        raise BenchmarkError(f"the identity covers {seen} files instead of {blobs}")
    return sample


def raw(place: Place, blobs: int) -> Sample:
    """Fetch the same pages over one connection with nothing around it.

    :raises BenchmarkError: if another number of blobs was listed.
    """
    url = urlsplit(place.sas_url())
    pages: list[bytes] = []

    def fetch() -> None:
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        query = f"{url.query}&restype=container&comp=list&include=metadata&maxresults=5000&prefix={_FOLDER}%2F"
        marker = ""
        while True:
            connection.request("GET", f"{url.path}?{query}{marker}", headers={"x-ms-version": "2021-12-02"})
            pages.append(connection.getresponse().read())
            following = _MARKER.search(pages[-1])
            if following is None:
                break
            marker = f"&marker={quote(following[1].decode(), safe='')}"
        connection.close()

    sample = run_here(fetch)
    found = sum(page.count(b"<Blob>") for page in pages)
    if found != blobs:
        raise BenchmarkError(f"the bare request listed {found} blobs instead of {blobs}")
    return sample
