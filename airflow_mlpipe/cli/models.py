"""``mlpipe models``: registered models and datasets, their versions and where each came from."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.execution.choice import describe
from airflow_mlpipe.frozen import to_json
from airflow_mlpipe.registry.base import AssetKind, AssetVersion

DESCRIPTION = "List registered models (or datasets), their versions, metrics and the run that made each."
EXAMPLES = "mlpipe models flight-delays"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="one model; default: the latest version of each")
    parser.add_argument("--datasets", action="store_true", help="datasets instead of models")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print the versions as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the versions; 0 even if there are none yet."""
    workspace = open_workspace(arguments, Path.cwd())
    kind: AssetKind = "dataset" if arguments.datasets else "model"
    names = workspace.registry.names(kind)
    if arguments.name is not None and arguments.name not in names:
        raise ParameterError(
            f"Workspace {workspace.name!r} has no {kind} {arguments.name!r}. It has: {', '.join(names) or 'none'}."
        )
    if arguments.name is not None:
        found = workspace.registry.versions(kind, arguments.name)
    else:
        found = [versions[-1] for name in names if (versions := workspace.registry.versions(kind, name))]
    _print(found, kind, arguments.json)
    return 0


def _print(found: list[AssetVersion], kind: str, as_json: bool) -> None:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    if as_json:
        print("[" + ",\n".join(to_json(asset).decode() for asset in found) + "]")
    elif found:
        columns = (kind, "version", "created", "content", "metrics", "made by")
        print_table(columns, [_row(asset) for asset in found])
    else:
        print(f"No {kind} is registered yet. A step registers one with 'name:' on an output.")


def _row(asset: AssetVersion) -> tuple[str, ...]:
    metrics = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in asset.metrics.items()
    )
    made = f"{asset.lineage.get('pipeline', '')} {asset.lineage.get('run_id', '')} {asset.lineage.get('step', '')}"
    size = describe({"": asset.data})
    return (asset.name, str(asset.version), f"{asset.created:%Y-%m-%d %H:%M}", size, metrics, made.strip())
