"""What a file, a pipe or a CI log shows of a run: one plain line for each event, without rich and its start-up time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_mlpipe.execution.events import Event
from airflow_mlpipe.tracking.base import StepRecord


class EventLines:
    """Prints the events of a run; the line of a reused step says all that the final table would say of it.

    :param steps: names, to align them.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        self._width = max((len(name) for name in steps), default=0)

    def show(self, event: Event) -> None:
        """Print one event."""
        if event.state in ("planned", "started"):
            return
        text = event.text.splitlines()[0] if event.text else ""
        gained = _gained(event.record) if event.state == "reused" and event.record is not None else ()
        word = () if event.state == "log" else (event.state.replace("_", " "),)
        print("  ".join((f"{event.step:<{self._width}}", *word, "; ".join((text, *gained)))))


def _gained(record: StepRecord) -> Iterable[str]:
    if record.registered:
        yield f"registered {', '.join(record.registered.values())}"
    if record.metrics:
        yield f"metrics {metrics_text(record.metrics)}"


def metrics_text(metrics: Iterable[dict[str, object]]) -> str:
    """Return the last value of every metric, ``auc 0.741, log_loss 0.52``."""
    latest = {str(item["name"]): item["value"] for item in metrics}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in latest.items()
    )
