"""What ``mlpipe run`` tells of a run while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from airflow_mlpipe.tracking.base import StepRecord

EPOCH = 0
"""Of every run on the laptop: nobody clears a step there, and every run is new."""

State = Literal["planned", "started", "log", "reused", "ran", "failed", "upstream_failed", "decided", "skipped"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a step, for a progress display.

    :param text: the reason, a log line or an error message.
    :param record: the step's final record, once it has ended well.
    """

    step: str
    state: State
    text: str = ""
    record: StepRecord | None = None


OnEvent = Callable[[Event], None]


@dataclass
class Outcome:
    """How a run ended.

    :param records: final records of the steps that ended well.
    :param errors: step to error message.
    :param seconds: wall time of the run.
    """

    records: dict[str, StepRecord] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether every step ended well."""
        return not self.errors and not self.blocked
