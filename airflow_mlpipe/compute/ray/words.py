"""Ray's words for the state of a job, and ours."""

from __future__ import annotations

from typing import NamedTuple

from airflow_mlpipe.compute.base import JobState
from airflow_mlpipe.compute.ray.client import Answer

_STATES = {
    "PENDING": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "SUCCEEDED": JobState.FAILED,
    "FAILED": JobState.FAILED,
    "STOPPED": JobState.CANCELLED,
}
"""Of a job that no launcher of ours has claimed: so one that Ray calls ``SUCCEEDED`` did not do what it should."""
_LONGEST = 2000


class Opinion(NamedTuple):
    """What Ray says of a job.

    :param raw: its own word.
    :param reason: for the exit record of a job that ended without a launcher.
    :param unknown: Ray does not know the job.
    """

    state: JobState
    message: str
    raw: str
    reason: str = "error"
    unknown: bool = False


def opinion(answer: Answer) -> Opinion:
    """Read Ray's answer to the question for a job. What nobody understands counts as alive."""
    if answer.status == 404:
        message = "Ray does not know the job any more, and it had not begun: was the cluster restarted?"
        return Opinion(JobState.LOST, message, "404", "lost", unknown=True)
    word = (answer.value or {}).get("status")
    state = _STATES.get(word) if isinstance(word, str) else None
    if state is None or not isinstance(word, str):
        return Opinion(JobState.RUNNING, "", repr(word)[:80])
    if not state.is_terminal:
        return Opinion(state, "", word)
    said = str((answer.value or {}).get("message") or "").strip()[-_LONGEST:]
    if state is JobState.CANCELLED:
        return Opinion(state, "The job was stopped in Ray before it began.", word, "cancelled")
    return Opinion(state, f"Ray ended the job before it began ({word}): {said or 'it does not say why.'}", word)
