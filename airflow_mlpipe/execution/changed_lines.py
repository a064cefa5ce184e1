"""The first changed line of a source file, as a person would quote it."""

from __future__ import annotations

import difflib
from itertools import takewhile

_MAX_LINE = 60


def changed_lines(old: str, new: str) -> str:
    """Return what differs first between two texts: ``line 31: n_estimators=100 -> n_estimators=200``.

    :param old: the earlier text.
    :param new: the text now.
    """
    before, after = old.splitlines(), new.splitlines()
    codes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    blocks = [code for code in codes if code[0] != "equal"]
    if not blocks:
        return "line ends or mode"
    more = f", {len(blocks) - 1} more {'place' if len(blocks) == 2 else 'places'}" if len(blocks) > 1 else ""
    return _block(before, after, blocks[0][1:]) + more


def _block(before: list[str], after: list[str], place: tuple[int, int, int, int]) -> str:
    a0, a1, b0, b1 = place
    if a1 - a0 == 1 and b1 - b0 == 1:
        old, new = narrowed(before[a0], after[b0])
        return f"line {b0 + 1}: {shorten(old)} -> {shorten(new)}"
    if a0 == a1:
        return f"line {b0 + 1}: added {shorten(after[b0])}"
    if b0 == b1:
        return f"line {b0 + 1}: removed {shorten(before[a0])}"
    return f"lines {b0 + 1}-{b1}"


def narrowed(old: str, new: str) -> tuple[str, str]:
    """Return two lines without the words that both begin with, if they are long, so that what differs is seen."""
    if max(len(old.strip()), len(new.strip())) <= _MAX_LINE:
        return old, new
    before, after = old.split(), new.split()
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    lead = ["..."] if same else []
    return " ".join(lead + before[same:]), " ".join(lead + after[same:])


def shorten(line: str) -> str:
    """Return a line cut to what fits into a sentence."""
    line = line.strip()
    return line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 3] + "..."
