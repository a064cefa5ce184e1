"""``mlpipe endpoints``: stable names for published pipelines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from airflow_mlpipe.cli.run_options import open_workspace
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.frozen import plain
from airflow_mlpipe.publishing.base import Endpoint, PublishedPipeline
from airflow_mlpipe.publishing.endpoints import Endpoints
from airflow_mlpipe.publishing.names import split_reference
from airflow_mlpipe.publishing.store import PublishedStore
from airflow_mlpipe.workspace import Workspace

DESCRIPTION = """\
A name that callers use while the version behind it changes. Versions of an endpoint count from 0, as in Azure ML.
Every change is kept: 'show' lists who leads where since when."""
EXAMPLES = """\
mlpipe endpoints create churn --pipeline churn:1          version 0, the default
mlpipe endpoints add churn --pipeline churn:2 --default   version 1, and calls go to it from now on
mlpipe endpoints set-default churn 0                      back again
mlpipe endpoints disable churn
mlpipe endpoints list"""

_ACTIONS = ("list", "show", "create", "add", "set-default", "enable", "disable", "archive")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    parser.add_argument("name", metavar="NAME", nargs="?", help="the endpoint; of all actions but list")
    parser.add_argument("number", metavar="NUMBER", type=int, nargs="?", help="set-default: version of the endpoint")
    parser.add_argument("--pipeline", metavar="NAME:VERSION", help="create, add: the published pipeline")
    parser.add_argument("--description", metavar="TEXT", default="", help="create: what the endpoint is for")
    parser.add_argument("--default", action="store_true", help="add: let calls go to the new version")
    parser.add_argument("--all", action="store_true", help="list: archived ones too")
    parser.add_argument(
        "--workspace", type=Path, metavar="FILE", help="workspace.yml to use instead of the nearest one"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked, and print what the endpoint is now."""
    workspace = open_workspace(arguments, Path.cwd())
    endpoints = Endpoints(workspace.datastore())
    if arguments.action == "list":
        return _list(endpoints, arguments)
    if arguments.name is None:
        raise ConfigError(f"mlpipe endpoints {arguments.action} needs the name of an endpoint.")
    if arguments.action == "show":
        return _show(endpoints.get(arguments.name), endpoints.history(arguments.name), arguments.json)
    changed = _change(endpoints, workspace, arguments)
    if arguments.json:
        print(json.dumps(_plain(changed), indent=2))
    else:
        default = changed.versions[changed.default]
        print(
            f"Endpoint {changed.name}: {changed.change}. {changed.status}; default {default.number} = {default.dag_id}."
        )
    return 0


def _change(endpoints: Endpoints, workspace: Workspace, arguments: argparse.Namespace) -> Endpoint:
    name: str = arguments.name
    if arguments.action == "create":
        return endpoints.create(name, _pipeline(workspace, arguments), arguments.description)
    if arguments.action == "add":
        return endpoints.add(name, _pipeline(workspace, arguments), arguments.default)
    if arguments.action == "set-default":
        if arguments.number is None:
            raise ConfigError("Which version? Write: mlpipe endpoints set-default NAME NUMBER.")
        return endpoints.set_default(name, arguments.number)
    switches = {"enable": endpoints.enable, "disable": endpoints.disable, "archive": endpoints.archive}
    return switches[arguments.action](name)


def _pipeline(workspace: Workspace, arguments: argparse.Namespace) -> PublishedPipeline:
    if arguments.pipeline is None:
        raise ConfigError(f"mlpipe endpoints {arguments.action} needs --pipeline NAME:VERSION.")
    return PublishedStore(workspace.datastore()).get(*split_reference(arguments.pipeline))


def _list(endpoints: Endpoints, arguments: argparse.Namespace) -> int:
    found = [endpoints.get(name) for name in endpoints.names()]
    shown = [endpoint for endpoint in found if arguments.all or not endpoint.archived]
    if arguments.json:
        print(json.dumps([_plain(endpoint) for endpoint in shown], indent=2))
    elif shown:
        _table(("endpoint", "status", "default", "leads to", "versions", "description"), map(_row, shown))
    else:
        print("There is no endpoint yet. Create one with: mlpipe endpoints create NAME --pipeline NAME:VERSION")
    return 0


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    default = endpoint.versions[endpoint.default]
    versions = ", ".join(f"{version.number}={version.pipeline}" for version in endpoint.versions)
    return (endpoint.name, endpoint.status, str(default.number), default.dag_id, versions, endpoint.description)


def _show(now: Endpoint, history: list[Endpoint], as_json: bool) -> int:
    if as_json:
        print(json.dumps({**_plain(now), "history": [_change_of(state) for state in history]}, indent=2))
        return 0
    print(f"{now.name}: {now.status}{', ' + now.description if now.description else ''}")
    rows = [
        (
            str(version.number),
            "default" if version.number == now.default else "",
            version.pipeline,
            version.dag_id,
            f"{version.added:%Y-%m-%d %H:%M}",
        )
        for version in now.versions
    ]
    _table(("version", "", "pipeline", "dag", "added"), rows)
    for state in history:
        print(f"{state.changed:%Y-%m-%d %H:%M}  {state.change}")
    return 0


def _change_of(state: Endpoint) -> dict[str, str]:
    return {"changed": state.changed.isoformat(), "change": state.change}


def _plain(endpoint: Endpoint) -> dict[str, object]:
    return {**{key: value for key, value in plain(endpoint).items() if key != "nonce"}, "status": endpoint.status}


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from airflow_mlpipe.cli.display import print_table  # noqa: PLC0415 - rich is not needed for --json

    print_table(columns, rows)
