"""A job as one file: what Ray hands to the node that runs it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_mlpipe.compute.archive import far_side_archive
from airflow_mlpipe.compute.base import JobSpec
from airflow_mlpipe.compute.ssh.parcels import pack
from airflow_mlpipe.errors import DataError

_MOST = 500 << 20


class Package(NamedTuple):
    """A zip file.

    :param name: as Ray's store of packages wants it.
    :param program: name of our own program in it.
    """

    name: str
    program: str
    data: bytes


def build_package(spec: JobSpec, job: Mapping[str, Any]) -> Package:
    """Return what a node needs to run a job: our program, the job's files, and what it is to do.

    :param job: what the far side reads, with the rights that it needs.
    :raises DataError: if a file cannot be read or changed since it was looked at, or it is too much.
    """
    parcel, program = pack(spec), far_side_archive()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("job.json", json.dumps({**job, "layout": parcel.layout}))
        archive.writestr(program.name, program.data)
        archive.writestr("data/", b"")
        for digest, text in parcel.small.items():
            archive.writestr(f"data/{digest}", base64.b64decode(text))
        for digest, path in parcel.large.items():
            archive.write(path, f"data/{digest}")
    data = stream.getvalue()
    if len(data) > _MOST:
        raise DataError(
            f"The source of the step has {len(data)} bytes packed, and Ray takes at most {_MOST}. Put large files into "
            "a datastore and read them as an input."
        )
    return Package(f"_ray_pkg_{hashlib.sha256(data).hexdigest()[:32]}.zip", program.name, data)
