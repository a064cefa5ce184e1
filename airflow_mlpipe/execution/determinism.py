"""Noticing that a step is not deterministic although it says so: equal steps that wrote other bytes."""

from __future__ import annotations

from airflow_mlpipe.reuse.base import ReuseRecord


def other_bytes(earlier: ReuseRecord | None, record: ReuseRecord) -> str:
    """Return a warning for the user if two results under one key differ, else an empty text.

    :param earlier: what was stored under the key before.
    :param record: what was computed now.
    """
    if earlier is None or earlier.nonce == record.nonce:
        return ""
    ports = sorted(
        port
        for port in earlier.outputs.keys() | record.outputs.keys()
        if port not in earlier.outputs
        or port not in record.outputs
        or earlier.outputs[port].content != record.outputs[port].content
    )
    if not ports:
        return ""
    return (
        f"output {', '.join(ports)} has other bytes than the equal step of run {earlier.run_id} wrote: the step is not "
        "deterministic. Fix its seeds, or write 'is_deterministic: false'"
    )
