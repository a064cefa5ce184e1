"""What commands over many pipelines take from ``mlpipe.toml`` when the command line does not say it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.project.loading import Environment, Project, find_project, load_project
from airflow_mlpipe.project.place import FILE_NAME


@dataclass(frozen=True)
class Chosen:
    """A project and an environment in it, as far as there are any."""

    project: Project | None
    environment: Environment | None

    @property
    def output(self) -> Path | None:
        """Folder of the DAG files; the environment's own goes first."""
        own = self.environment.output if self.environment else None
        return own or (self.project.output if self.project else None)

    @property
    def workspace(self) -> Path | None:
        """Workspace file; the environment's own goes first."""
        own = self.environment.workspace if self.environment else None
        return own or (self.project.workspace if self.project else None)

    @property
    def templates(self) -> Path | None:
        """Folder of the user's own templates."""
        return self.project.templates if self.project else None

    def paths(self, named: Sequence[Path]) -> Sequence[Path]:
        """Return the paths that are named, else those of the project.

        :raises ConfigError: if nothing is named and there is no project.
        """
        if named or self.project is not None:
            return named or (self.project.paths if self.project else ())
        raise ConfigError(f"Name a PATH, pipeline files or folders of them, or write a {FILE_NAME} with 'paths' in it.")


def add_project_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--env`` and ``--project``."""
    parser.add_argument("--env", metavar="NAME", help=f"environment of {FILE_NAME} to apply, such as dev or prod")
    parser.add_argument(
        "--project", type=Path, metavar="FILE", help=f"{FILE_NAME} to use instead of the nearest one, here or above"
    )


def choose(arguments: argparse.Namespace, start: Path | None = None) -> Chosen:
    """Return the project and the environment that the arguments name.

    :param start: where to look for the project; ``None`` for the current folder.

    :raises SpecError: if the project file is wrong.
    :raises ConfigError: if the environment is not there.
    """
    project = load_project(arguments.project) if arguments.project else find_project(start or Path.cwd())
    if arguments.env is None:
        return Chosen(project, None)
    if project is None:
        raise ConfigError(f"--env {arguments.env}: there is no {FILE_NAME} here or above that could describe it.")
    return Chosen(project, project.environment(arguments.env))
