"""What Slurm says, in our words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_mlpipe.compute.place import Finished

_ENDED = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
_BUSY = (
    "unable to contact slurm controller",
    "socket timed out",
    "connection refused",
    "connection reset",
    "connection timed out",
    "zero bytes were transmitted",
    "temporarily unable",
    "transport endpoint",
    "communication",
    "try again",
    "resource temporarily",
    "submit limit",
    "maxsubmit",
    "controller not responding",
    "backup controller",
    "munge",
    "authentication",
)
"""How Slurm puts that asking later may help; everything else that it refuses it refuses for good."""

_TIMED_OUT = 124
"""Exit code of ``timeout`` when the time is over."""

LISTING = ("squeue", "--noheader", "--me", "--states=all", "--format=%j|%T|%r")
"""Asks for the jobs of the user by name, also those that have ended and are not forgotten yet."""


@dataclass(frozen=True)
class Opinion:
    """What Slurm thinks of the jobs of one name.

    :param word: Slurm's own.
    :param ended: none of them will run any more.
    :param reason: why it waits.
    """

    word: str
    ended: bool
    reason: str = ""


def opinions(listing: bytes) -> dict[str, Opinion]:
    """Return what a listing says of each name; one job that is alive outweighs others that have ended."""
    found: dict[str, Opinion] = {}
    for line in listing.decode("utf-8", "replace").splitlines():
        name, word, reason = [*line.split("|", 2), "", ""][:3]
        if not word.strip():
            continue
        opinion = Opinion(word, word.split()[0] in _ENDED, "" if reason in ("None", "(null)") else reason)
        if name not in found or found[name].ended:
            found[name] = opinion
    return found


def may_pass(said: str) -> bool:
    """Whether what Slurm said is a trouble that passes."""
    return any(words in said.lower() for words in _BUSY)


def saying(finished: Finished) -> str:
    """Return what a command said when it failed, in one line."""
    if finished.code == _TIMED_OUT:
        return "it did not answer in time, try again later"
    text = (finished.errors or finished.output).decode("utf-8", "replace")
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in text.splitlines()]
    return _joined(line for line in lines if line) or f"exit code {finished.code}"


def _joined(lines: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(lines))[-500:]
