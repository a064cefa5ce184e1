"""``mlpipe init``: a small pipeline that runs as it is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from airflow_mlpipe.errors import ConfigError

DESCRIPTION = """\
Start a small pipeline in a folder: pipeline.yml, workspace.yml, scripts, data, a test. It needs nothing but Python and
runs as it is. Files that are there already are never overwritten."""
EXAMPLES = """\
mlpipe init flights
mlpipe init --template champion_challenger flights
mlpipe run flights/pipeline.yml"""

_TEMPLATES = Path(__file__).parents[1] / "dag_templates"
_ROOT = _TEMPLATES / "init"
_EVERY = _TEMPLATES / "init_every"
TEMPLATES = tuple(sorted(path.name for path in _ROOT.iterdir()))
_DOT = "dot_"
_NAME = "PIPELINE_NAME"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to fill; made if it is not there")
    parser.add_argument(
        "--template", choices=TEMPLATES, default="general", help="kind of pipeline (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files; 0 when done."""
    folder: Path = arguments.folder
    texts = _texts(arguments.template, _pipeline_name(folder))
    taken = [name for name in texts if (folder / name).exists()]
    if taken:
        raise ConfigError(
            f"{folder} holds {', '.join(sorted(taken))} already; nothing was written. Name another folder."
        )
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    print(f"{len(texts)} files written to {folder}. Next:\n\n  mlpipe run {folder / 'pipeline.yml'}")
    return 0


def _pipeline_name(folder: Path) -> str:
    """The folder's name, as far as a DAG id allows."""
    name = _NOT_IN_NAMES.sub("_", folder.resolve().name).strip("_-")
    return name[:100] or "pipeline"


def _texts(template: str, pipeline: str) -> dict[str, str]:
    """Return relative path to text: the files that every new pipeline gets, and those of this kind."""
    return {**_files(_EVERY, pipeline), **_files(_ROOT / template, pipeline)}


def _files(root: Path, pipeline: str) -> dict[str, str]:
    """Return the files of a folder; ``dot_x`` in the package stands for ``.x``, which packaging tools leave out."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {
        _target(path.relative_to(root)): path.read_text(encoding="utf-8").replace(_NAME, pipeline) for path in found
    }


def _target(path: Path) -> str:
    return path.with_name(re.sub(f"^{_DOT}", ".", path.name)).as_posix()
