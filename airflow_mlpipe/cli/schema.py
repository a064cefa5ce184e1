"""``mlpipe schema``: the JSON schema of pipeline files."""

from __future__ import annotations

import argparse
import json

from airflow_mlpipe.spec import json_schema

DESCRIPTION = """\
Print the JSON schema of pipeline files. Editors that read a line
  # yaml-language-server: $schema=./pipeline.schema.json
at the top of a pipeline complete keys and mark mistakes while you write."""
EXAMPLES = "mlpipe schema > pipeline.schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(_arguments: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0
