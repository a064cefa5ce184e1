"""Data transfer: verified copies between any two places, done by the worker itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from airflow_mlpipe.datastores.transfer import discard
from airflow_mlpipe.errors import DataError, SpecError
from airflow_mlpipe.execution.choice import amount
from airflow_mlpipe.execution.inputs import ResolvedInput
from airflow_mlpipe.execution.job import OutputPlace, output_places
from airflow_mlpipe.execution.resolve import ResolvedStep
from airflow_mlpipe.execution.run_info import Say
from airflow_mlpipe.execution.transfers.export import Export, destination
from airflow_mlpipe.execution.transfers.fetch import fetch
from airflow_mlpipe.execution.transfers.merge import Layout, Tree, lay_out
from airflow_mlpipe.execution.transfers.meter import Meter
from airflow_mlpipe.execution.transfers.staging import staging
from airflow_mlpipe.spec.step import OutputData
from airflow_mlpipe.tracking.base import JobRecord
from airflow_mlpipe.workspace import Workspace

_Sources = list[tuple[str, ResolvedInput]]


def transfer(workspace: Workspace, resolved: ResolvedStep, job: JobRecord, say: Say) -> float:
    """Copy the inputs of a ``data_transfer`` step to its outputs.

    With one output all inputs are merged into it, in the order of their declaration; with several, each input goes
    to the output of the same name (Azure ML: ``task: copy_data``, ``data_copy_mode``; ``skip_existing`` is ours). An
    output with a ``path`` is exported there, any other one goes to the workspace's store. A try that was cut off is
    taken up again where it was.

    :returns: seconds it took.
    :raises DataError: if an input changed while it was copied, or files are in conflict.
    """
    started = time.monotonic()
    places = output_places(workspace, resolved.step, job)
    with staging(workspace, resolved.fingerprint.key) as folder:
        for port, sources in _pairs(resolved, places).items():
            one = _Transfer(workspace, resolved, folder / port, say)
            one.copy(resolved.step.outputs[port], places[port], sources)
    return time.monotonic() - started


def _pairs(resolved: ResolvedStep, places: dict[str, OutputPlace]) -> dict[str, _Sources]:
    items = list(resolved.data.items())
    if len(places) == 1:
        return {next(iter(places)): items}
    unmatched = sorted(places.keys() ^ set(resolved.data))
    if unmatched:
        raise SpecError(
            (
                f"step {resolved.step.name}: a data transfer with several outputs copies each input to the output "
                f"of the same name; without a partner: {', '.join(unmatched)}.",
            )
        )
    return {port: [(port, item)] for port, item in items}


@dataclass(frozen=True)
class _Transfer:
    """The copy to one output.

    :param folder: where the inputs are brought together.
    """

    workspace: Workspace
    resolved: ResolvedStep
    folder: Path
    say: Say

    def copy(self, output: OutputData, place: OutputPlace, sources: _Sources) -> None:
        """Bring the inputs here, then put them where they belong."""
        fetched = [self._fetch(number, port, item) for number, (port, item) in enumerate(sources)]
        trees, roots = [tree for tree, _ in fetched], [root for _, root in fetched]
        if output.path is None and output.type == "uri_file":
            self._put(self._single(trees, roots), place)
            return
        layout = lay_out(trees, self.resolved.step.copy_mode)
        if output.path is not None:
            self._export(output, layout, roots)
        elif len(trees) == 1 and trees[0].manifest.kind == "folder":
            self._put(roots[0], place)
        else:
            self._put(self._merge(layout, roots), place)

    def _fetch(self, number: int, port: str, item: ResolvedInput) -> tuple[Tree, Path]:
        to = self.folder / str(number)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            manifest = fetch(self.workspace, item, to, Meter(self.say, port, item.content.size))
        except DataError as error:
            raise DataError(f"input {port}: {error}") from error
        self.say(f"copied {port}: {amount(len(manifest.entries), manifest.size)} from {item.origin}")
        name = PurePosixPath(item.path.partition("?")[0]).name
        return Tree(port, name, manifest), to

    def _single(self, trees: Sequence[Tree], roots: Sequence[Path]) -> Path:
        if len(trees) != 1 or trees[0].manifest.kind != "file":
            raise DataError(
                f"step {self.resolved.step.name}: an output of type uri_file takes one input that is a single file. "
                "Declare the output as uri_folder."
            )
        return roots[0]

    def _merge(self, layout: Layout, roots: Sequence[Path]) -> Path:
        out = self.folder / "merged"
        discard(out)
        out.mkdir(parents=True)
        for path, (number, entry) in layout.files.items():
            source = roots[number] if roots[number].is_file() else roots[number] / entry.path
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            source.replace(out / path)
        for folder in layout.empty_folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        return out

    def _put(self, source: Path, place: OutputPlace) -> None:
        staged = place.local.with_name(f".{place.local.name}.staged")
        staged.parent.mkdir(parents=True, exist_ok=True)
        discard(staged)
        discard(place.local)
        shutil.move(source, staged)
        staged.rename(place.local)

    def _export(self, output: OutputData, layout: Layout, roots: Sequence[Path]) -> None:
        store, folder = destination(self.workspace, output)
        meter = Meter(self.say, f"export to {output.path}", layout.manifest.size)
        written, left = Export(store, folder, layout, roots, self.resolved.step.copy_mode).run(meter)
        self.say(f"exported to {output.path}: {written} files written, {left} left as they were")
