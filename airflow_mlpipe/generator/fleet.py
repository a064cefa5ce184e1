"""All DAG files of a call: which are as they should be, which are to be written, which specs are wrong.

A spec that is wrong is reported and its DAG file left as it is; the others go on. Nothing is kept in memory of a file
that is in its place, so a call may be about thousands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.generator.build import Builder
from airflow_mlpipe.generator.check import Loader
from airflow_mlpipe.generator.drift import DagFile
from airflow_mlpipe.generator.ledger import Entry, Ledger, hash_of_text
from airflow_mlpipe.generator.render import Renderer
from airflow_mlpipe.generator.write import is_current, write_file
from airflow_mlpipe.project.overlay import Overlay
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.diagnostics import Fault
from airflow_mlpipe.spec.looks import Looks

_BATCH = 50
"""Files that Airflow loads in one go, while the next ones are rendered."""


@dataclass(frozen=True)
class Target:
    """Where DAG files go and what they are made with.

    :param output: the folder.
    :param templates: folder of the user's own templates.
    :param overlay: the environment of mlpipe.toml, ``None`` for the pipelines as they are.
    """

    output: Path
    templates: Path | None = None
    overlay: Overlay | None = None

    @property
    def environment(self) -> str:
        """Name of the environment, empty for none."""
        return self.overlay.name if self.overlay else ""


@dataclass
class Findings:
    """What a survey found so far.

    :param made: DAG file to spec, of every spec that is right.
    :param pipelines: names of these pipelines in their own files.
    :param unchanged: number of files that are as they should be.
    :param faults: errors of specs that are wrong, warnings of those that are not.
    :param refused: new file to what Airflow says against it.
    """

    made: dict[Path, Path] = field(default_factory=dict)
    pipelines: set[str] = field(default_factory=set)
    unchanged: int = 0
    faults: list[Fault] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[Fault]:
        """The faults that keep a DAG file from being written."""
        return [fault for fault in self.faults if fault.level == "error"]


class Fleet:
    """The DAG files of one folder.

    :ivar findings: grows while a survey is consumed.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._builder = Builder(target.output, Renderer(target.templates), target.environment)
        self._ledger = Ledger(target.output, target.templates, target.environment, repr(target.overlay))
        self._entries: dict[Path, Entry] = {}
        self.findings = Findings()

    def survey(self, sources: Iterable[Path]) -> Iterator[DagFile]:
        """Yield the DAG files that are not as they should be.

        :raises ConfigError: if a template is missing or broken.
        """
        for source in sources:
            entry = self._ledger.current(source)
            if entry is not None:
                self._pass_over(source, entry)
            elif file := self._build(source):
                yield file
        self._ledger.save()

    def write(self, sources: Iterable[Path], loader: Loader) -> list[Path]:
        """Write what is not as it should be, as far as Airflow loads it; return the files written.

        While Airflow loads some files, the next ones are rendered.

        :raises ConfigError: if a template is missing or broken, or Airflow does not come up. Files written before
            stay.
        """
        written: list[Path] = []
        changed = _announced(self.survey(sources), loader)
        with ThreadPoolExecutor(1) as thread:
            waiting: tuple[list[DagFile], Future[dict[Path, str]]] | None = None
            while batch := list(islice(changed, _BATCH)):
                asked = (batch, thread.submit(loader.errors, batch))
                if waiting:
                    written += self._place(*waiting)
                waiting = asked
            if waiting:
                written += self._place(*waiting)
        self._ledger.save()
        return written

    def _pass_over(self, source: Path, entry: Entry) -> None:
        self._builder.reserve(entry.dag_id, source)
        self.findings.made[self._target.output / f"{entry.dag_id}.py"] = source
        self.findings.pipelines.add(entry.pipeline)
        self.findings.faults += entry.warnings
        self.findings.unchanged += 1

    def _build(self, source: Path) -> DagFile | None:
        looks = Looks()
        try:
            spec = load_pipeline(source, looks)
            pipeline = spec.name
            self.findings.pipelines.add(pipeline)
            if self._target.overlay is not None:
                spec = self._target.overlay.apply(spec)
            file = self._builder.build(spec)
        except SpecError as error:
            self.findings.faults += [fault for fault in error.faults if isinstance(fault, Fault)]
            return None
        self.findings.faults += spec.warnings
        self.findings.made[file.path] = source
        entry = Entry(pipeline, file.path.stem, looks.as_dict(), hash_of_text(file.text), spec.warnings)
        if is_current(file.path, file.text):
            self._ledger.note(source, entry)
            self.findings.unchanged += 1
            return None
        self._entries[file.path] = entry
        return file

    def _place(self, batch: list[DagFile], asked: Future[dict[Path, str]]) -> list[Path]:
        refused = asked.result()
        self.findings.refused |= refused
        written = [file for file in batch if file.path not in refused]
        for file in written:
            write_file(file.path, file.text)
            self._ledger.note(file.source, self._entries.pop(file.path))
        return [file.path for file in written]


def _announced(changed: Iterable[DagFile], loader: Loader) -> Iterator[DagFile]:
    """Have Airflow come up as soon as there is something for it, while the other pipelines are looked at."""
    for file in changed:
        loader.start()
        yield file
