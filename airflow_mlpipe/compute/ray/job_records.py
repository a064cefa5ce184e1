"""What a job and those who look after it leave in the store.

<prefix>/<run key>/submitted.json   when it was handed to Ray
                   claim.json       who runs it; the first to create it
                   log/<first byte>-<size>
                   cancel.json      its end was asked for
                   exit.json        how it ended; the first to create it decides
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from airflow_mlpipe.compute.far_side.job_folder import ExitRecord, plain_exit, read_exit_record
from airflow_mlpipe.compute.far_side.records import CLAIM, EXIT, LOG_PIECES
from airflow_mlpipe.content.remote import RemoteData
from airflow_mlpipe.errors import SubmitRejectedError
from airflow_mlpipe.storage import RecordStorage

_PREFIX = "mlpipe/ray"
_SUBMITTED, _CANCEL = "submitted.json", "cancel.json"


@runtime_checkable
class ReportStore(RecordStorage, Protocol):
    """A store that a job's own machine can be let into."""

    def place(self) -> str:
        """Return where the store lies: the same for all who open it, and for no other store. Holds no secret."""

    def grant_create(self, path: str, seconds: float, *, is_file: bool = False) -> RemoteData | None:
        """Return the right to create a file, or files in a folder."""


class JobRecords:
    """The records of one job. All methods block.

    :param store: where they lie.
    :param key: a valid run key.
    """

    def __init__(self, store: ReportStore, key: str) -> None:
        self._store = store
        self.key = key
        self.prefix = f"{_PREFIX}/{key}"

    def ray_id(self) -> str:
        """Return the name under which Ray knows the job; two stores may well have the same run of the same pipeline."""
        return f"{self.key}-{hashlib.sha256(self._store.place().encode()).hexdigest()[:10]}"

    def rights(self, seconds: float) -> dict[str, Any]:
        """Return the rights to claim the job and to report, in the clear, for the job's machine alone.

        :raises SubmitRejectedError: if the store can hand on none.
        """
        claim = self._store.grant_create(f"{self.prefix}/{CLAIM}", seconds, is_file=True)
        report = self._store.grant_create(self.prefix, seconds)
        if claim is None or report is None:
            raise SubmitRejectedError(
                "The default datastore was opened with a SAS, which cannot be handed on to a job. Open it with the "
                "account key or with an identity, or give the Ray target a workdir that all nodes see."
            )
        return {"claim": claim.reveal(), "report": report.reveal()}

    def submitted(self) -> float | None:
        """Return when the job was handed to Ray, ``None`` if it was not."""
        data = self._read(_SUBMITTED)
        try:
            return None if data is None else float(json.loads(data)["time"])
        except (ValueError, TypeError, KeyError):
            return 0.0

    def note_submission(self) -> None:
        """Say that the job is handed to Ray now."""
        self._store.create(f"{self.prefix}/{_SUBMITTED}", json.dumps({"time": time.time()}).encode())

    def ended(self) -> ExitRecord | None:
        """Return how the job ended, ``None`` if nobody has said so."""
        data = self._read(EXIT)
        if data is None:
            return None
        record = read_exit_record(data, f"{self.prefix}/{EXIT}")
        asked = record.reason == "terminated" and self._read(_CANCEL) is not None
        return record if not asked else ExitRecord("cancelled", "", None, None, record.seconds, record.metrics)

    def end(self, reason: str, message: str) -> None:
        """Say how a job ended that cannot say so itself; what was said before stands."""
        self._take()
        asked = self._read(_CANCEL) is not None
        plain = plain_exit("cancelled", "") if asked else plain_exit(reason, message)
        self._store.create(f"{self.prefix}/{EXIT}", json.dumps(plain).encode())

    def cancel(self) -> bool:
        """Ask for the end of the job; return whether that ended it, because it had not begun."""
        self._store.create(f"{self.prefix}/{_CANCEL}", b"{}")
        if not self._take():
            return False
        self.end("cancelled", "")
        return True

    def _take(self) -> bool:
        """Claim the job for nobody; return whether no launcher has it."""
        nobody = json.dumps({"pid": 0, "nonce": secrets.token_hex(16)}).encode()
        return self._store.create(f"{self.prefix}/{CLAIM}", nobody)

    def outputs(self) -> Mapping[str, Mapping[str, Sequence[int | str]]]:
        """Return the digests of what the job sent."""
        try:
            outputs = json.loads(self._read(EXIT) or b"{}").get("outputs")
        except (ValueError, AttributeError):
            return {}
        return outputs if isinstance(outputs, dict) else {}

    def log_size(self) -> int:
        """Return how much of the log has arrived."""
        return max((first + size for first, size, _ in self._pieces()), default=0)

    def read_log(self, offset: int, limit: int) -> tuple[bytes, bool]:
        """Return what has arrived of the log from a byte on, and whether more of it is there."""
        data, end = b"", 0
        for first, size, key in sorted(self._pieces()):
            end = max(end, first + size)
            if first <= offset + len(data) < first + size and len(data) < limit:
                piece = self._store.read(key) or b""
                data += piece[offset + len(data) - first :][: limit - len(data)]
        return data, offset + len(data) < end

    def remove(self) -> None:
        """Remove all of them, the submission last."""
        keys = sorted(self._store.keys(f"{self.prefix}/"), key=lambda key: key.endswith(_SUBMITTED))
        for key in keys:
            self._store.delete(key)

    def _pieces(self) -> Iterator[tuple[int, int, str]]:
        for key in self._store.keys(f"{self.prefix}/{LOG_PIECES}/"):
            first, _, size = key.rpartition("/")[2].partition("-")
            if first.isdigit() and size.isdigit():
                yield int(first), int(size), key

    def _read(self, name: str) -> bytes | None:
        return self._store.read(f"{self.prefix}/{name}")
