"""``mlpipe publish``: a version of a pipeline that never changes, and its DAG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from airflow_mlpipe.cli import load_dags
from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import plain
from airflow_mlpipe.generator import DagFile, Loader, Renderer, is_current, write_file
from airflow_mlpipe.publishing.base import PublishedPipeline
from airflow_mlpipe.publishing.lay_out import lay_out
from airflow_mlpipe.publishing.names import split_reference
from airflow_mlpipe.publishing.publish import Publication, publish
from airflow_mlpipe.publishing.store import PublishedStore

DESCRIPTION = """\
Keep a pipeline with its scripts as a new version in the store of the workspace. A version never changes; the same
content again is the same version. With -o, its DAG file is written, with the source beside it."""
EXAMPLES = """\
mlpipe publish pipeline.yml -o dags/                      the next version, as DAG <name>__v<version>
mlpipe publish pipeline.yml --name churn --version 2.0 --description "with weather"
mlpipe publish --again churn:1 -o dags/                   the DAG of a version, from the store
mlpipe publish --list"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", nargs="?", help="pipeline YAML file")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the DAG files")
    parser.add_argument("--name", metavar="NAME", help="default: the pipeline's own")
    parser.add_argument("--version", metavar="VERSION", help="default: the next number")
    parser.add_argument("--description", metavar="TEXT", default="", help="default: the pipeline's own")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="folder with all that the pipeline names; default: the file's own"
    )
    parser.add_argument("--again", metavar="NAME:VERSION", help="write the DAG of a version that is published already")
    parser.add_argument("--list", action="store_true", help="list what is published")
    parser.add_argument("--templates", type=Path, metavar="DIR", help="folder with templates of your own")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Publish, lay out or list; 1 if Airflow does not load the DAG."""
    asked = [arguments.file is not None, arguments.again is not None, arguments.list]
    if sum(asked) != 1:
        raise ConfigError("Name a pipeline file, or give --again NAME:VERSION or --list.")
    start = arguments.file.resolve().parent if arguments.file is not None else Path.cwd()
    store = PublishedStore(open_workspace(arguments, start).datastore())
    if arguments.list:
        return _list(store, arguments.json)
    if arguments.again is not None:
        record, is_new = store.get(*split_reference(arguments.again)), False
    else:
        wanted = Publication(arguments.file, arguments.root, arguments.name, arguments.version, arguments.description)
        record, is_new = publish(store, wanted)
    file = lay_out(store, record, arguments.output, Renderer(arguments.templates)) if arguments.output else None
    if file is not None:
        _write(file)
    _tell(record, is_new, file, arguments)
    return 0


def _write(file: DagFile) -> None:
    if is_current(file.path, file.text):
        return
    with Loader(load_dags.COMMAND, file.path.parent) as loader:
        errors = loader.errors([file])
    if errors:
        raise ConfigError(f"{file.path}: Airflow does not load the new file: {errors[file.path]}")
    write_file(file.path, file.text)


def _tell(record: PublishedPipeline, is_new: bool, file: DagFile | None, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps({**_shown(record), "created": is_new, "dag_file": file and file.path.as_posix()}, indent=2))
        return
    named = f"{record.name}:{record.version}"
    if is_new:
        print(f"Published {named} ({len(record.files)} files, {record.code[:17]}) as DAG {record.dag_id}.")
    elif arguments.file is not None:
        print(f"This very content is published already as {named} of {record.created:%Y-%m-%d %H:%M}; nothing new.")
    if file is not None:
        print(f"DAG file: {file.path}")
    elif is_new:
        print(f"To write its DAG file: mlpipe publish --again {named} -o DIR")


def _list(store: PublishedStore, as_json: bool) -> int:
    records = [store.get(name, version) for name in store.names() for version in store.versions(name)]
    if as_json:
        print(json.dumps([_shown(record) for record in records], indent=2))
    elif records:
        from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

        print_table(("pipeline", "version", "dag", "published", "content", "description"), map(_row, records))
    else:
        print("Nothing is published yet. Publish with: mlpipe publish FILE")
    return 0


def _shown(record: PublishedPipeline) -> dict[str, object]:
    """Return a version as plain values for JSON, without the list of its files."""
    return {key: value for key, value in plain(record).items() if key not in ("files", "nonce")}


def _row(record: PublishedPipeline) -> tuple[str, ...]:
    published = f"{record.created:%Y-%m-%d %H:%M}"
    return (record.name, record.version, record.dag_id, published, record.code[:17], record.description)
