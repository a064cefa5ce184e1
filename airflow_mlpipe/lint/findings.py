"""Findings of a pipeline file: every fault and every piece of advice, less what the user does not want to hear."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_mlpipe.errors import ConfigError, SpecError
from airflow_mlpipe.lint.rules import RULES, Subject
from airflow_mlpipe.project.overlay import Overlay
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.spec.codes import SENTENCES
from airflow_mlpipe.spec.diagnostics import Fault, Faults
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.reader import read_document

_COMMENT = re.compile(r"#\s*mlpipe:\s*(?P<what>ignore|ignore-file)\[(?P<codes>[A-Z0-9,\s]+)\]")


@dataclass(frozen=True)
class Finding:
    """A fault or a piece of advice.

    :param suppressed: a comment in the file says that this is meant.
    """

    fault: Fault
    suppressed: bool = False


@dataclass(frozen=True)
class Selection:
    """Which codes the user wants to hear of, by their beginnings; a longer beginning goes before a shorter one.

    Errors cannot be left out: without them there is no pipeline.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = [f"MLP{number:03d}" for number in SENTENCES]
        for prefix in (*self.select, *self.ignore):
            if not any(code.startswith(prefix) for code in known):
                close = difflib.get_close_matches(prefix, known, n=1)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                raise ConfigError(f"no code begins with '{prefix}'; docs/codes.md lists all.{hint}")

    def wants(self, fault: Fault) -> bool:
        """Return whether a fault is to be shown."""
        if fault.level == "error":
            return True
        chosen = max((len(prefix) for prefix in self.select if fault.code.startswith(prefix)), default=-1)
        dropped = max((len(prefix) for prefix in self.ignore if fault.code.startswith(prefix)), default=-1)
        return chosen > dropped if self.select else dropped < 0


def examine(source: Path, selection: Selection, overlays: Iterable[Overlay] = ()) -> list[Finding]:
    """Return the findings of a pipeline file, by place.

    :param overlays: environments of mlpipe.toml; that they fit the pipeline is checked too.
    """
    faults = _faults(source, overlays)
    remarks = {file: _Remarks.of(file) for file in {fault.file for fault in faults}}
    shown = sorted({fault for fault in faults if selection.wants(fault)})
    return [Finding(fault, fault.level != "error" and remarks[fault.file].cover(fault)) for fault in shown]


def _faults(source: Path, overlays: Iterable[Overlay]) -> list[Fault]:
    try:
        spec = load_pipeline(source)
    except SpecError as error:
        return _of(error)
    advice = Faults()
    document = read_document(source, str(source), advice)
    if document is not None:
        for rule in RULES:
            rule(Subject(spec, document.root), advice)
    return [*spec.warnings, *advice.advice, *(fault for overlay in overlays for fault in _misfits(spec, overlay))]


def _misfits(spec: PipelineSpec, overlay: Overlay) -> list[Fault]:
    try:
        overlay.apply(spec)
    except SpecError as error:
        return _of(error)
    return []


def _of(error: SpecError) -> list[Fault]:
    return [fault for fault in error.faults if isinstance(fault, Fault)]


@dataclass(frozen=True)
class _Remarks:
    """Comments of a file: ``# mlpipe: ignore[MLP301]`` for its line, ``ignore-file[...]`` for all of it."""

    lines: dict[int, set[str]]
    everywhere: set[str]

    @classmethod
    def of(cls, file: str) -> _Remarks:
        found = cls({}, set())
        try:
            text = Path(file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return found
        for number, line in enumerate(text.splitlines(), start=1):
            for match in _COMMENT.finditer(line):
                codes = {code.strip() for code in match["codes"].split(",")}
                place = found.everywhere if match["what"] == "ignore-file" else found.lines.setdefault(number, set())
                place |= codes
        return found

    def cover(self, fault: Fault) -> bool:
        return fault.code in self.everywhere or fault.code in self.lines.get(fault.line, set())
