"""Python names for the steps of a pipeline: derived, unique, and never the user's own text.

A step keeps its own name as ``task_id``; the variable in the DAG file is another thing.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MAX_LENGTH = 60
_SOFT_KEYWORDS = ("_", "case", "match", "type")
"""Written out: the standard library's list grows, and the same spec must give the same bytes on every Python."""
_TAKEN = frozenset(
    {
        *("Asset", "DAG", "Param", "TaskGroup", "callback", "changed_data", "pendulum", "timedelta"),
        *("plan", "__doc__", *keyword.kwlist, *_SOFT_KEYWORDS),
    }
)


def is_identifier(name: str) -> bool:
    """Whether this is an ASCII Python identifier and no keyword."""
    return bool(_IDENTIFIER.fullmatch(name)) and not keyword.iskeyword(name)


def variable_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Give each step a variable of its own.

    Names that are good variables already keep them, whatever else is there; of the others ``2nd`` becomes ``step_2nd``,
    ``lambda`` becomes ``lambda_step``, and ``a-b`` beside ``a.b`` becomes ``a_b`` and ``a_b_2``, in the order given.

    :param names: task ids, each once.
    :param taken: further names that the file uses for something else.
    :returns: task id to variable, in the order given.
    """
    ordered = list(names)
    reserved = _TAKEN.union(taken)
    chosen = {name: name for name in ordered if _is_free(name, reserved)}
    used = {*reserved, *chosen}
    for name in ordered:
        if name not in chosen:
            chosen[name] = _unused(_derive(name, reserved), used)
            used.add(chosen[name])
    return {name: chosen[name] for name in ordered}


def _is_free(name: str, reserved: frozenset[str]) -> bool:
    return is_identifier(name) and len(name) <= _MAX_LENGTH and name not in reserved


def _derive(name: str, reserved: frozenset[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[: _MAX_LENGTH - 5]
    if not plain or plain[0].isdigit():
        plain = f"step_{plain}"
    return f"{plain}_step" if plain in reserved else plain


def _unused(wanted: str, used: set[str]) -> str:
    candidate, number = wanted, 2
    while candidate in used:
        candidate = f"{wanted}_{number}"
        number += 1
    return candidate
