"""``mlpipe generate``: pipeline files to DAG files, or a comparison of the two."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from airflow_mlpipe.cli import load_dags
from airflow_mlpipe.cli.project_options import Chosen, add_project_options, choose
from airflow_mlpipe.cli.sources import counted, find_pipelines
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.generator import DagFile, Findings, Fleet, Loader, Target, cause, diff, orphans

DESCRIPTION = """\
Write one Airflow DAG file for each pipeline: plain Python, the same bytes for the same spec.
Only what has changed is rendered, and Airflow loads every new text before it replaces a file.
A pipeline that is wrong is reported and its DAG file left as it is; the others are written.
Without arguments: what mlpipe.toml says."""
EXAMPLES = """\
mlpipe generate pipelines/ -o dags/
mlpipe generate pipelines/ -o dags/ --check     in CI: exit code 1 and a diff when files and specs differ
mlpipe generate --env prod --diff               what would change in the project's DAGs of production
mlpipe generate pipeline.yml -o dags/ --templates my_templates/"""


@dataclass
class Report:
    """What a call did, or would do."""

    findings: Findings
    changed: Sequence[Path]
    orphans: Sequence[Path]
    removed: Sequence[Path] = field(default=())

    @property
    def code(self) -> int:
        """2 for a wrong spec, 1 for a DAG file that Airflow does not load, else 0."""
        return 2 if self.findings.errors else 1 if self.findings.refused else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="pipeline file, or folder to look for some in; default: 'paths' of mlpipe.toml",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder of the DAG files; default: 'output' of mlpipe.toml"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; exit code 1 if anything would change")
    mode.add_argument("--diff", action="store_true", help="write nothing; show what would change, exit code 0")
    mode.add_argument("--prune", action="store_true", help="remove DAG files of ours that no spec makes any more")
    parser.add_argument(
        "--templates",
        type=Path,
        metavar="DIR",
        help="folder with templates of your own (<name>.py.j2), searched before ours",
    )
    add_project_options(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Generate or compare; 0 if all is well, 1 on drift or a DAG that Airflow does not load, 2 on a bad spec."""
    chosen = choose(arguments)
    paths = chosen.paths(arguments.paths)
    target = _target(arguments, chosen)
    sources = find_pipelines(paths)
    fleet = Fleet(target)
    if arguments.check or arguments.diff:
        return _compare(arguments, fleet, target, sources)
    with Loader(load_dags.COMMAND, target.output) as loader:
        written = fleet.write(sources, loader)
    _check_overlay(fleet, target, whole=not arguments.paths)
    left = orphans(target.output, fleet.findings.made, target.environment)
    report = Report(fleet.findings, written, left)
    if arguments.prune and report.code == 0:
        for path in left:
            path.unlink()
        report = Report(fleet.findings, written, (), left)
    _show_written(arguments, report, left)
    return report.code


def _target(arguments: argparse.Namespace, chosen: Chosen) -> Target:
    output: Path | None = arguments.output or chosen.output
    if output is None:
        raise ConfigError("Say where the DAG files go: -o/--output DIR, or 'output' in mlpipe.toml.")
    if arguments.templates is not None and not arguments.templates.is_dir():
        raise ConfigError(f"--templates {arguments.templates}: this is not a folder.")
    overlay = chosen.environment.overlay if chosen.environment else None
    return Target(output, arguments.templates or chosen.templates, overlay)


def _check_overlay(fleet: Fleet, target: Target, whole: bool) -> None:
    """Note pipelines that mlpipe.toml names and that are not there; only a call over all pipelines can tell."""
    if whole and target.overlay is not None and not fleet.findings.errors:
        fleet.findings.faults += target.overlay.unknown_pipelines(fleet.findings.pipelines)


def _compare(arguments: argparse.Namespace, fleet: Fleet, target: Target, sources: Sequence[Path]) -> int:
    changed = list(fleet.survey(sources))
    _check_overlay(fleet, target, whole=not arguments.paths)
    left = orphans(target.output, fleet.findings.made, target.environment)
    report = Report(fleet.findings, [file.path for file in changed], left)
    if arguments.json:
        _print_json(report, "changed")
    else:
        _show_differences(changed, report)
    drift = 1 if arguments.check and (changed or left) else 0
    return report.code or drift


def _show_differences(changed: Sequence[DagFile], report: Report) -> None:
    for file in changed:
        print(diff(file))
    for file in changed:
        print(f"{file.path}: {cause(file)}.", file=sys.stderr)
    _show_trouble(report)
    _name_orphans(report.orphans)
    if changed or report.orphans or report.code:
        counts = f"{len(changed)} to write, {counted(len(report.orphans), 'orphan')}"
        print(f"{counts}, {report.findings.unchanged} up to date.", file=sys.stderr)
    else:
        print(f"{counted(report.findings.unchanged, 'file')} up to date.")


def _show_written(arguments: argparse.Namespace, report: Report, left: Sequence[Path]) -> None:
    if arguments.json:
        _print_json(report, "written")
        return
    _show_trouble(report)
    if report.removed:
        for path in report.removed:
            print(f"{path}: removed, no spec makes it any more.", file=sys.stderr)
    elif arguments.prune and left:
        print("Nothing was removed, because of the errors above: a wrong spec may be the new home.", file=sys.stderr)
    else:
        _name_orphans(left)
    removed = f", {len(report.removed)} removed" if report.removed else ""
    print(f"{len(report.changed)} written, {report.findings.unchanged} unchanged{removed}")


def _show_trouble(report: Report) -> None:
    """Print warnings, errors and what Airflow refuses on the error stream, and that the rest went on."""
    findings = report.findings
    for fault in sorted(findings.faults, key=lambda fault: fault.level, reverse=True):
        print(fault, file=sys.stderr)
    for path, text in findings.refused.items():
        print(f"{path}: Airflow does not load the new file: {text}", file=sys.stderr)
    number = len(findings.errors) + len(findings.refused)
    if number:
        print(f"{counted(number, 'error')}; the DAG files of these pipelines stay as they are.", file=sys.stderr)


def _name_orphans(left: Sequence[Path]) -> None:
    for path in left:
        advice = "Remove it (--prune), or its DAG goes on running."
        print(f"{path}: no spec makes this file any more. {advice}", file=sys.stderr)


def _print_json(report: Report, changed: str) -> None:
    findings = report.findings
    print(
        json.dumps(
            {
                changed: [path.as_posix() for path in report.changed],
                "unchanged": findings.unchanged,
                "orphans": [path.as_posix() for path in report.orphans],
                "removed": [path.as_posix() for path in report.removed],
                "faults": [asdict(fault) for fault in findings.faults],
                "refused": {path.as_posix(): text for path, text in findings.refused.items()},
            },
            indent=2,
        )
    )
