"""``settings`` and ``compute`` of a pipeline: what holds for all of its jobs."""

from __future__ import annotations

from airflow_mlpipe.spec.diagnostics import Faults, Place
from airflow_mlpipe.spec.documents import Settings
from airflow_mlpipe.spec.lowering import Defaults
from airflow_mlpipe.spec.software import compute_name

USUAL_DATASTORE = "workspaceblobstore"
"""Azure ML's default datastore, and ours."""


def pipeline_defaults(settings: Settings, compute: str | None, place: Place, faults: Faults) -> Defaults:
    """Return what a pipeline says for all of its jobs.

    :param place: of the pipeline.
    """
    here = place / "settings"
    _note_unused(settings, here, faults)
    own = compute_name(compute, place / "compute", faults)
    default = compute_name(settings.default_compute, here / "default_compute", faults)
    if own and default and own != default:
        text = f"says '{default}', the pipeline's 'compute' says '{own}'; keep one."
        faults.add(here / "default_compute", "MLP025", text)
    return Defaults(own or default, settings.force_rerun)


def _note_unused(settings: Settings, place: Place, faults: Faults) -> None:
    datastore = settings.default_datastore
    if datastore is not None and datastore.removeprefix("azureml:") != USUAL_DATASTORE:
        text = f"'{datastore}' is not used: results go to the default datastore of the workspace."
        faults.add(place / "default_datastore", "MLP202", text)
    if settings.continue_on_step_failure is False:
        text = "is not used: jobs that do not depend on a failed job go on, as with true."
        faults.add(place / "continue_on_step_failure", "MLP205", text)
