"""``mlpipe import``: pipelines from the files of other systems."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from airflow_mlpipe.cli.sources import counted, load_pipelines
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator import write_file
from airflow_mlpipe.importers import import_file

DESCRIPTION = """\
Read a pipeline file of the Azure ML SDK v1 (Pipeline.load_yaml) or of dag-factory, and write our own beside it, one
file for each pipeline. The source is never changed, no file is overwritten, nothing is run. Everything that is not
carried over is named with its place; a step that has no counterpart becomes a job that fails, so that the graph is
whole and nobody believes it ran. Exit code: 0 all carried over, 1 written with remarks, 2 nothing written."""
EXAMPLES = """\
mlpipe import old/pipeline.yml
mlpipe import dags/config.yml -o pipelines/
mlpipe validate pipelines/"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="file of the other system")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write to; default: that of FILE")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Import a file; 0 if all was carried over, 1 with remarks, 2 if nothing was written."""
    source: Path = arguments.file
    imported = import_file(source)
    folder: Path = arguments.output or source.parent
    paths = {name: folder / f"{name}.yml" for name in imported.texts}
    taken = [str(path) for path in paths.values() if path.exists()]
    if taken:
        raise ConfigError(f"{', '.join(taken)} is there already; nothing was written. Name another folder with -o DIR.")
    for name, path in paths.items():
        write_file(path, imported.texts[name])
    faults = load_pipelines(list(paths.values())).errors
    if arguments.json:
        found = {
            "system": imported.system,
            "written": [path.as_posix() for path in paths.values()],
            "remarks": [asdict(fault) for fault in imported.remarks],
            "faults": [asdict(fault) for fault in faults],
        }
        print(json.dumps(found, indent=2))
    else:
        for fault in (*imported.remarks, *faults):
            print(fault, file=sys.stderr)
        for path in paths.values():
            print(f"{path} written, from {imported.system}.")
        if imported.remarks or faults:
            print(f"{counted(len(imported.remarks) + len(faults), 'remark')}; see above.", file=sys.stderr)
    return 1 if imported.remarks or faults else 0
