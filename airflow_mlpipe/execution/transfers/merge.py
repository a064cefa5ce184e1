"""Several inputs in one output: which file comes from where, decided before the first byte is moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from airflow_mlpipe.content import FileEntry, Manifest
from airflow_mlpipe.errors import DataError

_SHOWN = 3


@dataclass(frozen=True)
class Tree:
    """One input.

    :param port: its name.
    :param name: of a single file in a folder output.
    :param manifest: what it holds.
    """

    port: str
    name: str
    manifest: Manifest


@dataclass
class Layout:
    """What the output will hold.

    :param files: relative path to the number of the input and its entry there.
    :param empty_folders: relative paths.
    """

    files: dict[str, tuple[int, FileEntry]] = field(default_factory=dict)
    empty_folders: set[str] = field(default_factory=set)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the output."""
        entries = [FileEntry(path, entry.size, entry.digest) for path, (_, entry) in self.files.items()]
        return Manifest.of(entries, self.empty_folders)


def lay_out(trees: Sequence[Tree], mode: str | None) -> Layout:
    """Decide which file comes from which input.

    :param mode: ``merge_with_overwrite``: the later input wins; ``skip_existing``: the earlier; ``fail_if_conflict``.
    :raises DataError: if two inputs hold the same file under ``fail_if_conflict``, or one a file where another one has
        a folder.
    """
    layout = Layout()
    for number, tree in enumerate(trees):
        single = tree.manifest.kind == "file"
        entries = {tree.name if single else entry.path: entry for entry in tree.manifest.entries}
        conflicts = sorted(entries.keys() & layout.files.keys())
        if conflicts and mode == "fail_if_conflict":
            raise DataError(
                f"input {tree.port}: {len(conflicts)} files are there already ({', '.join(conflicts[:_SHOWN])}) and "
                "data_copy_mode is fail_if_conflict. "
                "Use merge_with_overwrite to let the later input win, or skip_existing to let the earlier."
            )
        for path, entry in entries.items():
            if path not in layout.files or mode != "skip_existing":
                layout.files[path] = (number, entry)
        layout.empty_folders |= set(tree.manifest.empty_folders)
    _check_folders(layout)
    return layout


def _check_folders(layout: Layout) -> None:
    """Refuse a file where a folder is; forget empty folders that are not empty any more."""
    folders = {str(parent) for path in layout.files for parent in PurePosixPath(path).parents}
    inner = {str(parent) for path in layout.empty_folders for parent in PurePosixPath(path).parents}
    both = sorted((folders | inner | layout.empty_folders) & layout.files.keys())
    if both:
        raise DataError(f"{both[0]!r} is a file in one input and a folder in another; they cannot be merged.")
    layout.empty_folders -= folders | inner
