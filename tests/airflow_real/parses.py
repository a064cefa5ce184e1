"""Parses DAG files as Airflow's DAG processor does, again and again, and tells the versions in its database.

A version is replaced in place until a run has used it; so each DAG gets a run after its first parse.

Usage: python parses.py FOLDER TIMES
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import structlog
from airflow import settings
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.collection import update_dag_parsing_results_in_db
from airflow.dag_processing.processor import DagFileParseRequest, _parse_file
from airflow.models import DagRun
from airflow.models.dag_version import DagVersion
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.timezone import utcnow
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import inspect, select

BUNDLE = "dags-folder"


def parse(file: Path) -> None:
    """Read one file and write what came of it."""
    request = DagFileParseRequest(file=str(file), bundle_path=file.parent, bundle_name=BUNDLE)
    found = _parse_file(request, structlog.get_logger())
    if found is None or found.import_errors or not found.serialized_dags:
        sys.exit(f"{file} does not load: {found}")
    with create_session() as session:
        update_dag_parsing_results_in_db(BUNDLE, None, found.serialized_dags, {}, 0.1, set(), session)
        for dag in found.serialized_dags:
            use(dag.dag_id, session)


def use(dag_id: str, session: object) -> None:
    """Give the DAG a run, unless it has one."""
    if session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id)) is None:
        SerializedDagModel.get_dag(dag_id, session=session).create_dagrun(
            run_id="first",
            run_after=utcnow(),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )


def main() -> None:
    """Parse every file of the folder so many times."""
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    if not inspect(settings.engine).get_table_names():
        initdb()
    DagBundlesManager().sync_bundles_to_db()
    for _ in range(times):
        for file in sorted(folder.glob("*.py")):
            parse(file)
    with create_session() as session:
        versions = Counter(session.scalars(select(DagVersion.dag_id)))
    sys.stdout.write(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
