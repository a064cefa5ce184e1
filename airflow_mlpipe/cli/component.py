"""``mlpipe component``: register components, list them, lay them down beside a pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ParameterError
from airflow_mlpipe.registry.components import ComponentRegistry, ComponentVersion
from airflow_mlpipe.spec.component_files import read_component
from airflow_mlpipe.spec.registered import FOLDER, LATEST, parse_reference
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = "Register components with their code, list them, lay them down beside a pipeline that names them."
EXAMPLES = """\
mlpipe component register components/train.yml    keep it with its code, as the version that it says
mlpipe component list train                       its versions
mlpipe component get train@latest train:2         into ./registered, for component: azureml:train@latest"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("register", "list", "get"), help="what to do")
    parser.add_argument(
        "names", metavar="WHAT", nargs="*", help="files to register, names to list, name:version to get"
    )
    parser.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="folder of the pipeline, for get")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0 if all went well."""
    workspace = open_workspace(arguments, Path.cwd())
    registry = ComponentRegistry(workspace.datastore())
    if arguments.action == "list":
        return _list(registry, arguments.names)
    if not arguments.names:
        raise ParameterError(f"Say what to {arguments.action}: mlpipe component {arguments.action} WHAT.")
    for name in arguments.names:
        if arguments.action == "register":
            version, new = registry.register(read_component(Path(name)))
            print(f"{version.name}:{version.version} {'registered' if new else 'is there already'}")
        else:
            _get(registry, workspace, name, arguments.to)
    return 0


def _get(registry: ComponentRegistry, workspace: Workspace, text: str, to: Path) -> None:
    reference = parse_reference(f"azureml:{text.removeprefix('azureml:')}")
    if reference is None:
        raise ParameterError(f"{text!r} is no component. Write name:version or name@latest.")
    name, asked = reference
    version = registry.get(name, asked)
    if version is None:
        there = ", ".join(found.version for found in registry.versions(name)) or "none"
        raise ParameterError(f"Workspace {workspace.name!r} has no component {text!r}. Versions of {name!r}: {there}.")
    target = registry.lay_down(version, to / FOLDER)
    if asked == LATEST:
        (target.parent / LATEST).write_text(f"{version.version}\n", encoding="utf-8")
    print(f"{version.name}:{version.version} is in {target}")


def _list(registry: ComponentRegistry, names: list[str]) -> int:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is slow to import

    found: list[ComponentVersion] = []
    for name in names or registry.names():
        versions = registry.versions(name)
        if not versions:
            raise ParameterError(f"There is no component {name!r}. There is: {', '.join(registry.names()) or 'none'}.")
        found += versions if names else versions[-1:]
    if not found:
        print("No component is registered yet: mlpipe component register FILE.")
        return 0
    rows = [(item.name, item.version, item.kind, f"{item.created:%Y-%m-%d %H:%M}", item.description) for item in found]
    print_table(("component", "version", "type", "registered", "description"), rows)
    return 0
