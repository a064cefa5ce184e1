"""The graph of a pipeline as Mermaid text, on the terminal, and as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.spec.expressions import OutputRef, parse
from airflow_mlpipe.spec.model import PipelineSpec
from airflow_mlpipe.spec.step import InputData, Step

_COLOURS = {"reuse": "green", "run": "cyan", "later": "yellow"}
_WIDE = 2000
"""Columns of a picture; it is cut to what is drawn."""


@dataclass(frozen=True)
class Edge:
    """One step after another.

    :param ports: outputs that flow; empty for an order without data.
    """

    before: str
    after: str
    ports: tuple[str, ...] = ()


def edges(spec: PipelineSpec) -> list[Edge]:
    """Return the edges of a pipeline, with the data that flows, by the step that waits."""
    return [Edge(name, step.name, _ports(step, name)) for step in spec.steps for name in step.upstream]


def _ports(step: Step, before: str) -> tuple[str, ...]:
    paths = [value.path for value in step.inputs.values() if isinstance(value, InputData) and "${{" in value.path]
    refs = [part for path in paths for part in parse(path) if isinstance(part, OutputRef)]
    return tuple(dict.fromkeys(ref.port for ref in refs if ref.job == before))


def mermaid(spec: PipelineSpec, decisions: Mapping[str, str]) -> str:
    """Return a flowchart that code hosts and documentation tools draw.

    :param decisions: step to what a run would do with it; empty if nobody asked.
    """
    ids = {step.name: f"s{number}" for number, step in enumerate(spec.steps)}
    lines = ["flowchart TD"]
    for step in spec.steps:
        label = "<br/>".join(part for part in (step.name, decisions.get(step.name, "")) if part)
        lines.append(f'    {ids[step.name]}["{label}"]')
    for edge in edges(spec):
        label = f'|"{", ".join(edge.ports)}"|' if edge.ports else ""
        lines.append(f"    {ids[edge.before]} {'-->' if edge.ports else '-.->'}{label} {ids[edge.after]}")
    for decision in ("reuse", "run", "later"):
        chosen = [ids[step.name] for step in spec.steps if decisions.get(step.name) == decision]
        if chosen:
            lines.append(f"    class {','.join(chosen)} {decision}")
    if decisions:
        lines.append("    classDef reuse fill:#d4f4dd,stroke:#2e7d32")
        lines.append("    classDef run fill:#d6ecff,stroke:#1565c0")
        lines.append("    classDef later fill:#fff4d6,stroke:#b28704")
    return "\n".join([*lines, ""])


def drawing(spec: PipelineSpec, decisions: Mapping[str, str]) -> Any:
    """Return what rich prints as boxes and arrows.

    :raises ConfigError: if the library that lays graphs out is not installed.
    """
    try:
        from netext import (  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
            ArrowTip,
            ConsoleGraph,
            EdgeProperties,
            EdgeSegmentDrawingMode,
            NodeProperties,
        )
    except ImportError:
        raise ConfigError(
            "Pictures need the extra 'preview': pip install 'airflow-mlpipe[preview]'. "
            "'--format mermaid' and '--format table' do without it."
        ) from None

    def content(name: str, *_: Any) -> Text:
        decision = decisions.get(name, "")
        text = Text(name)
        return text.append(f"\n{decision}", style=_COLOURS.get(decision, "")) if decision else text

    look = NodeProperties(content_renderer=content)
    arrow = EdgeProperties(
        end_arrow_tip=ArrowTip.ARROW,
        segment_drawing_mode=EdgeSegmentDrawingMode.BOX,
    )
    nodes: dict[Any, dict[str, Any]] = {step.name: {"$properties": look} for step in spec.steps}
    return ConsoleGraph(nodes, [(edge.before, edge.after, {"$properties": arrow}) for edge in edges(spec)])


def svg(spec: PipelineSpec, decisions: Mapping[str, str]) -> str:
    """Return the same picture as SVG; it refers to nothing outside of itself.

    :raises ConfigError: as :func:`drawing`.
    """
    graph = drawing(spec, decisions)
    measuring = Console(file=io.StringIO(), width=_WIDE)
    width = measuring.measure(graph).maximum
    console = Console(file=io.StringIO(), record=True, width=max(width, len(spec.name) + 8))
    console.print(graph)
    return console.export_svg(title=spec.name, code_format=_SVG, unique_id="mlpipe")


_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
        font-variant-east-asian: full-width;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""
"""rich's own template without the fonts that it would fetch from the web."""
