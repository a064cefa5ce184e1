"""``mlpipe lint``: faults and advice, for people, programs and code hosts."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from airflow_mlpipe.cli.project_options import add_project_options, choose
from airflow_mlpipe.cli.sources import counted, find_pipelines
from airflow_mlpipe.lint import Finding, Selection, as_sarif, examine

DESCRIPTION = """\
Check pipeline files: every fault as in 'mlpipe validate', and advice on what is likely not meant. With an mlpipe.toml,
that its environments fit the pipelines too. A comment '# mlpipe: ignore[MLP301]' on the line, or
'# mlpipe: ignore-file[MLP301]' anywhere, says that it is meant. Nothing of the pipeline is run or imported.
Exit code: 0 nothing found, 1 warnings or advice, 2 errors."""
EXAMPLES = """\
mlpipe lint                                     the project of mlpipe.toml
mlpipe lint pipelines/ --ignore MLP306
mlpipe lint pipelines/ --select MLP2,MLP302     warnings and one piece of advice; errors always
mlpipe lint --format sarif > mlpipe.sarif"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="*",
        metavar="PATH",
        help="pipeline file, or folder to look for some in; default: 'paths' of mlpipe.toml",
    )
    parser.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="default: text")
    for option, what in (("--select", "only these"), ("--ignore", "all but these")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            type=_codes,
            metavar="CODES",
            help=f"{what} warnings and pieces of advice: codes or their beginnings, with commas; may be repeated",
        )
    add_project_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 without any, 1 with warnings or advice, 2 with errors."""
    selection = Selection(_flat(arguments.select), _flat(arguments.ignore))
    chosen = choose(arguments)
    known = chosen.project.environments if chosen.project else {}
    overlays = [environment.overlay for name, environment in known.items() if arguments.env in (None, name)]
    sources = find_pipelines(chosen.paths(arguments.paths))
    findings = [finding for source in sources for finding in examine(source, selection, overlays)]
    findings = list(dict.fromkeys(findings))
    if arguments.format == "sarif":
        print(json.dumps(as_sarif(findings), indent=2))
    elif arguments.format == "json":
        print(json.dumps([{**asdict(item.fault), "suppressed": item.suppressed} for item in findings], indent=2))
    else:
        _show(findings, len(sources))
    levels = {finding.fault.level for finding in findings if not finding.suppressed}
    return 2 if "error" in levels else 1 if levels else 0


def _codes(text: str) -> list[str]:
    return [code.strip() for code in text.split(",") if code.strip()]


def _flat(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(code for codes in lists for code in codes)


def _show(findings: Sequence[Finding], files: int) -> None:
    shown = [finding.fault for finding in findings if not finding.suppressed]
    for fault in shown:
        print(fault)
    counts = Counter(fault.level for fault in shown)
    kinds = [counted(counts["error"], "error"), counted(counts["warning"], "warning")]
    print(f"{counted(files, 'pipeline')}: {', '.join(kinds)}, {counted(counts['advice'], 'piece')} of advice.")
