"""Waiting without a worker for another run that computes the same step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlpipe.errors import MLPipeError
from airflow_mlpipe.execution.turns import Turn, Waiting, await_turn
from airflow_mlpipe.triggers.workspaces import shared_workspace


class TurnTrigger(BaseTrigger):
    """Looks at another run's computation, and fires when it is worth while to begin this step again.

    It only looks: whatever happens to this task, the other run's job is left alone. All arguments are plain values.

    :param mlpipe_conn_id: connection of the workspace.
    :param folder: folder of the DAG file.
    :param waiting: whom to wait for, :meth:`~airflow_mlpipe.execution.turns.Waiting.to_json`.
    :param poll_interval: seconds between two looks.
    """

    resume_with: ClassVar[str] = "execute_after_wait"

    def __init__(
        self, mlpipe_conn_id: str, folder: str, waiting: Mapping[str, Any], poll_interval: float = 5.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mlpipe_conn_id = mlpipe_conn_id
        self.folder = folder
        self.waiting = Waiting.from_json(waiting)
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps in its database to make this trigger again."""
        return (
            "airflow_mlpipe.triggers.turn.TurnTrigger",
            {
                "mlpipe_conn_id": self.mlpipe_conn_id,
                "folder": self.folder,
                "waiting": self.waiting.to_json(),
                "poll_interval": self.poll_interval,
            },
        )

    @property
    def resume_arguments(self) -> dict[str, Any]:
        """What the task gets back when it goes on."""
        return {"waiting": self.waiting.to_json()}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the turn has come, then fire it; ``{"error": ...}`` when looking fails."""
        self.log.info("%s", self.waiting.reason)
        try:
            workspace = await shared_workspace(self.mlpipe_conn_id, self.folder)
            turn = await await_turn(workspace, self.waiting, self.poll_interval)
        except MLPipeError as error:
            yield TriggerEvent({"nonce": self.waiting.nonce, "error": str(error)})
            return
        yield TriggerEvent({"nonce": self.waiting.nonce, "turn": None if turn is None else turn.to_json()})


def turn_from_event(event: Mapping[str, Any], waiting: Waiting) -> Turn | None:
    """Return how a wait ended; ``None`` if the event belongs to another wait, so that one has to look again.

    :raises MLPipeError: if looking failed.
    """
    if event.get("nonce") != waiting.nonce:
        return None
    if "error" in event:
        raise MLPipeError(
            f"The run that computes the same step cannot be followed: {event['error']} A retry begins anew."
        )
    return None if event.get("turn") is None else Turn.from_json(event["turn"])
