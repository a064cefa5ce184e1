"""``mlpipe generate``: pipeline files to DAG files, or a comparison of the two."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_mlpipe.cli import load_dags
from airflow_mlpipe.cli.sources import counted, find_pipelines, load_pipelines
from airflow_mlpipe.cli.validate import show_errors, show_faults
from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.generator import DagFile, Renderer, build, cause, diff, is_current, load_errors, orphans, write_file

DESCRIPTION = """\
Write one Airflow DAG file for each pipeline: plain Python, the same bytes for the same spec.
A file that would not change is left alone. Airflow loads every new text before it replaces a file."""
EXAMPLES = """\
mlpipe generate pipelines/ -o dags/
mlpipe generate pipelines/ -o dags/ --check     in CI: exit code 1 and a diff when files and specs differ
mlpipe generate pipeline.yml -o dags/ --templates my_templates/"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="pipeline file, or folder to look for some in"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the DAG files")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if anything would change")
    parser.add_argument(
        "--templates",
        type=Path,
        metavar="DIR",
        help="folder with templates of your own (<name>.py.j2), searched before ours",
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Generate or compare; 0 if all is well, 1 on drift or a DAG that Airflow does not load, 2 on a bad spec."""
    if arguments.templates is not None and not arguments.templates.is_dir():
        raise ConfigError(f"--templates {arguments.templates}: this is not a folder.")
    loaded = load_pipelines(find_pipelines(arguments.paths))
    show_faults(loaded)
    if loaded.errors:
        return 2
    try:
        files = build(loaded.specs, arguments.output, Renderer(arguments.templates))
    except SpecError as error:
        show_errors(error.faults)
        return 2
    changed = [file for file in files if not is_current(file.path, file.text)]
    left = orphans(arguments.output, files)
    if arguments.check:
        return _compare(arguments, files, changed, left)
    return _write(arguments, files, changed, left)


def _compare(
    arguments: argparse.Namespace, files: Sequence[DagFile], changed: Sequence[DagFile], left: Sequence[Path]
) -> int:
    if arguments.json:
        _print_json(changed=changed, left=left, unchanged=len(files) - len(changed))
        return 1 if changed or left else 0
    for file in changed:
        print(diff(file))
    for file in changed:
        print(f"{file.path}: {cause(file)}.", file=sys.stderr)
    _name_orphans(left)
    if not changed and not left:
        print(f"{counted(len(files), 'file')} up to date.")
        return 0
    print(
        f"{len(changed)} to write, {counted(len(left), 'orphan')}, {len(files) - len(changed)} up to date.",
        file=sys.stderr,
    )
    return 1


def _write(
    arguments: argparse.Namespace, files: Sequence[DagFile], changed: Sequence[DagFile], left: Sequence[Path]
) -> int:
    errors = load_errors(changed, load_dags.COMMAND)
    for path, text in errors.items():
        print(f"{path}: Airflow does not load the new file: {text}", file=sys.stderr)
    if errors:
        print(f"{counted(len(errors), 'error')}, nothing written.", file=sys.stderr)
        return 1
    for file in changed:
        write_file(file.path, file.text)
    if arguments.json:
        _print_json(written=changed, left=left, unchanged=len(files) - len(changed))
        return 0
    _name_orphans(left)
    print(f"{len(changed)} written, {len(files) - len(changed)} unchanged")
    return 0


def _name_orphans(left: Sequence[Path]) -> None:
    for path in left:
        print(f"{path}: no spec makes this file any more. Remove it, or its DAG goes on running.", file=sys.stderr)


def _print_json(left: Sequence[Path], unchanged: int, **files: Sequence[DagFile]) -> None:
    named = {key: [file.path.as_posix() for file in some] for key, some in files.items()}
    print(json.dumps({**named, "unchanged": unchanged, "orphans": [path.as_posix() for path in left]}, indent=2))
