"""The far side as one file: a zip application with the same bytes on every machine, named by their SHA-256."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from airflow_mlpipe.compute import far_side

_PACKAGE = "airflow_mlpipe/compute/far_side"
_START = """import sys

from airflow_mlpipe.compute.far_side.program import main

main(sys.argv[1:])
"""


class Archive(NamedTuple):
    """A file that ``python3`` can run.

    :param name: ``mlpipe-<first 16 digits of the digest>.pyz``.
    :param digest: SHA-256, hexadecimal.
    """

    name: str
    digest: str
    data: bytes


@cache
def far_side_archive() -> Archive:
    """Return the file that travels."""
    folder = Path(far_side.__file__).parent
    texts = {"__main__.py": _START, "airflow_mlpipe/__init__.py": "", "airflow_mlpipe/compute/__init__.py": ""}
    texts |= {f"{_PACKAGE}/{path.name}": path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(texts.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode())
    data = stream.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return Archive(f"mlpipe-{digest[:16]}.pyz", digest, data)
