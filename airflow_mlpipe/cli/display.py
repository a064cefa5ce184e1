"""What a person sees while a pipeline runs, and the tables at the end; drawn by rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console, ConsoleRenderable
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from airflow_mlpipe.execution.events import Event

_COLOURS = {"reused": "green", "reuse": "green", "ran": "cyan", "run": "cyan", "failed": "red", "not run": "yellow"}
_PLAIN_WIDTH = 160
_DRAWING = 2000


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the second column is coloured by what it says. Columns that are empty all through are left out.

    :param columns: headings.
    :param rows: cells as plain text; nothing in them is markup.
    """
    cells = [tuple(row) for row in rows]
    kept = [index for index in range(len(columns)) if index < 2 or any(row[index] for row in cells)]
    table = Table(
        *(columns[index] for index in kept), box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0)
    )
    for row in cells:
        style = _COLOURS.get(row[1], "")
        table.add_row(*(Text(row[index], style=style if index == 1 else "") for index in kept))
    _console().print(table)


def print_graph(graph: ConsoleRenderable) -> None:
    """Print a drawing whole: off a terminal, or where the terminal is too narrow, lines run on instead of being cut."""
    console = Console(highlight=False)
    wanted = console.measure(graph, options=console.options.update(width=_DRAWING)).maximum
    console.print(graph, width=max(wanted, console.width), crop=False, no_wrap=True, overflow="ignore")


class RunDisplay:
    """Shows the events of a run: a live list of running steps on a terminal, one line per event elsewhere.

    :param steps: names, to align them.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        self._width = max((len(name) for name in steps), default=0)
        self._console = _console()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> RunDisplay:
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.state == "planned":
            return
        if event.state == "started":
            self._start(event.step)
            return
        if event.state != "log":
            self._stop(event.step)
        text = event.text.splitlines()[0] if event.text else ""
        word = "" if event.state == "log" else event.state.replace("_", " ")
        line = Text(f"{event.step:<{self._width}}  ")
        line.append(word, style=_COLOURS.get(word, "yellow"))
        line.append(f"{'  ' if word else ''}{text}", style="dim" if event.state == "log" else "")
        self._console.print(line, overflow="ignore", crop=self._console.is_terminal, no_wrap=True)

    def _start(self, step: str) -> None:
        if self._progress is not None:
            self._tasks[step] = self._progress.add_task(f"{step:<{self._width}}  running", total=None)

    def _stop(self, step: str) -> None:
        if self._progress is not None and step in self._tasks:
            self._progress.remove_task(self._tasks.pop(step))
