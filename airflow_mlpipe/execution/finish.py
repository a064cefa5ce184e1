"""The end of a step's life, the same for every mode and target: verify, publish, register, record."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_mlpipe.compute import loop
from airflow_mlpipe.compute.base import JobState, JobStatus
from airflow_mlpipe.content import DataRef, Manifest
from airflow_mlpipe.content.markers import is_marker
from airflow_mlpipe.datastores.base import NodeAccess
from airflow_mlpipe.errors import OutputMissingError, StepFailedError
from airflow_mlpipe.execution.choice import asset_kind, describe, exports, is_expired, latest_metrics
from airflow_mlpipe.execution.determinism import other_bytes
from airflow_mlpipe.execution.failure import failure_message, log_tail
from airflow_mlpipe.execution.flight import alive, end_job, flight_of
from airflow_mlpipe.execution.inputs import content_now
from airflow_mlpipe.execution.job import OutputPlace, carried_outputs, output_places, remove_scratch
from airflow_mlpipe.execution.run_info import RunInfo, Say, Ticket, silent
from airflow_mlpipe.frozen import checked
from airflow_mlpipe.reuse.base import ReuseRecord
from airflow_mlpipe.spec.step import Step
from airflow_mlpipe.tracking.base import JobRecord, StepRecord
from airflow_mlpipe.workspace import Workspace


def finish(
    workspace: Workspace, step: Step, run: RunInfo, ticket: Ticket, status: JobStatus, say: Say = silent
) -> StepRecord:
    """End a step whose job has ended.

    :param status: the job's final status.
    :param say: takes lines of progress.
    :returns: the step's final record.
    :raises StepFailedError: if the job did not succeed, with the tail of the script's own output.
    :raises OutputMissingError: if it succeeded without writing what it declared.
    :raises TransientComputeError: if its outputs cannot be fetched now; finish it again.
    """
    jobs = workspace.runs.jobs(run.pipeline, run.run_id, step.name)
    job = next(job for job in jobs if job.ordinal == ticket.ordinal)
    ending = Ending(workspace, step, run, job, say)
    with alive(workspace, flight_of(workspace, run, step.name, job)):
        target = workspace.compute(ticket.handle.target)
        if status.state is JobState.SUCCEEDED:
            carried = carried_outputs(workspace, step, job)
            loop.run(target.collect(ticket.handle, carried))
            sent = [item.port for item in carried if item.remote]
            left = loop.run(target.left_behind(ticket.handle)) if sent else {}
            return replace(ending, sent={port: left.get(port, {}) for port in sent}).succeed(status)
        raise ending.fail(status, loop.run(log_tail(target, ticket.handle)))


@dataclass(frozen=True)
class Ending:
    """The end of one job of one step.

    :param sent: what the job's machine has put into the store by itself, as it says: port to path to size and SHA-256.
    """

    workspace: Workspace
    step: Step
    run: RunInfo
    job: JobRecord
    say: Say = silent
    sent: Mapping[str, Mapping[str, Sequence[int | str]]] = field(default_factory=dict)

    def succeed(self, status: JobStatus) -> StepRecord:
        """Verify and publish what the step wrote, then record it.

        The order is: outputs, manifests, registry, reuse record, step record.

        :raises OutputMissingError: if a declared output is missing; the failure is recorded.
        """
        try:
            outputs = self._collect()
        except OutputMissingError as error:
            self.fail(JobStatus(JobState.FAILED, str(error), exit_code=0, seconds=status.seconds), "")
            raise
        metrics = [dict(item) for item in status.metrics]
        registered = self._register(outputs, metrics)
        gained = {"metrics": metrics, "registered": registered, "seconds": status.seconds or 0.0}
        self._publish(outputs, gained)
        done = self._record("ran", self.job.reason, outputs=outputs, **gained)
        self._close(JobState.SUCCEEDED)
        self._say_outputs(done)
        return done

    def fail(self, status: JobStatus, tail: str) -> StepFailedError:
        """Record a failure and return the error to raise."""
        message = failure_message(self.step, self.job, status, tail)
        self._record("failed", message, seconds=status.seconds or 0.0)
        self._close(status.state)
        return StepFailedError(message, status.exit_code)

    def _record(self, decision: str, reason: str, **more: Any) -> StepRecord:
        record = checked(
            StepRecord,
            {
                "pipeline": self.run.pipeline,
                "run_id": self.run.run_id,
                "step": self.step.name,
                "decision": decision,
                "reason": reason,
                "epoch": self.job.epoch,
                "key": self.job.fingerprint,
                "started": self.job.started,
                "ended": datetime.now(timezone.utc),
                "log": self.job.log,
                "inputs": self.job.inputs,
                **more,
            },
        )
        self.workspace.runs.write_step(record)
        return record

    def _close(self, state: JobState) -> None:
        end_job(self.workspace, self.run, self.step.name, self.job, state)
        remove_scratch(self.workspace, self.job)

    def _say_outputs(self, done: StepRecord) -> None:
        for port, ref in done.outputs.items():
            digest = ref.content.digest.partition(":")[2][:12]
            registered = f"; registered {done.registered[port]}" if port in done.registered else ""
            self.say(f"output {port}: {describe({port: ref})}, content {digest}{registered}")

    def _collect(self) -> dict[str, DataRef]:
        store = self.workspace.datastore()
        outputs: dict[str, DataRef] = {}
        for port, place in output_places(self.workspace, self.step, self.job).items():
            declared = self.step.outputs[port]
            if declared.path is not None:
                from airflow_mlpipe.execution.transfers.export import exported  # noqa: PLC0415 - heavy and rare

                outputs[port] = exported(self.workspace, declared)
                continue
            manifest = self._manifest(port, place)
            if manifest is None or not manifest.entries:
                if declared.optional:
                    continue
                raise OutputMissingError(
                    f"It ended with exit code 0 but wrote nothing to its output {port!r}. Write to the path that "
                    f"${{{{outputs.{port}}}}} gives, or declare the output as optional."
                )
            self.workspace.reuse.write_manifest(self.job.attempt, port, manifest)
            outputs[port] = DataRef(store.name, place.path, declared.type, manifest.summary)
        return outputs

    def _manifest(self, port: str, place: OutputPlace) -> Manifest | None:
        """Return what an output holds, in the store, ``None`` for nothing."""
        store = self.workspace.datastore()
        if port in self.sent:
            left = self.sent[port]
            return store.adopt(place.path, left) if left and isinstance(store, NodeAccess) else None
        return store.manifest(place.path) if place.direct else self._upload(place.local, place.path)

    def _upload(self, local: Path, path: str) -> Manifest | None:
        if not local.exists() or (local.is_dir() and not any(item.is_file() for item in local.rglob("*"))):
            return None
        return self.workspace.datastore().upload(local, path)

    def _register(self, outputs: Mapping[str, DataRef], metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        lineage = {
            "pipeline": self.run.pipeline,
            "run_id": self.run.run_id,
            "step": self.step.name,
            "key": self.job.fingerprint,
            "inputs": self.job.inputs,
        }
        registered: dict[str, str] = {}
        for port, ref in outputs.items():
            name = self.step.outputs[port].name
            if name is not None:
                asset = self.workspace.registry.register(
                    asset_kind(ref.type), name, ref, tags={}, lineage=lineage, metrics=latest_metrics(metrics)
                )
                registered[port] = f"{asset.name}:{asset.version}"
        return registered

    def _publish(self, outputs: Mapping[str, DataRef], gained: Mapping[str, Any]) -> None:
        mode = self.run.mode(self.step.name)
        kept = self.step.is_deterministic and not exports(self.step)
        if mode == "disable" or not kept or self.job.fingerprint is None:
            return
        changed = self._changed_inputs()
        if changed:
            self.say(f"not kept for reuse: input {', '.join(changed)} changed while the step ran")
            return
        record = checked(
            ReuseRecord,
            {
                "key": self.job.fingerprint,
                "nonce": secrets.token_hex(16),
                "parts": self.job.parts,
                "attempt": self.job.attempt,
                "outputs": dict(outputs),
                "pipeline": self.run.pipeline,
                "run_id": self.run.run_id,
                "step": self.step.name,
                "created": datetime.now(timezone.utc),
                **gained,
            },
        )
        earlier = self.workspace.reuse.stored(record.key)
        warning = other_bytes(earlier, record)
        if warning:
            self.say(warning)
        refresh = mode == "force" or self.job.cleared or is_expired(earlier, self.step)
        self.workspace.reuse.publish(record, replace=refresh)
        self.workspace.reuse.remember(self.run.pipeline, self.step.name, record.key)

    def _changed_inputs(self) -> list[str]:
        changed = []
        for source in self.job.sources:
            marked = is_marker(source.digest)
            now = content_now(self.workspace, source.datastore, source.path, source.include, marked)
            if now is None or now.digest != source.digest:
                changed.append(source.port)
        return changed
