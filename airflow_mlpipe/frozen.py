"""Frozen values: what is kept, sent or handed on has a fixed shape, is checked where it comes in, and never changes.

By msgspec, which Airflow's own tasks use too: it loads in a few milliseconds, and ``mlpipe`` starts for every command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

_S = TypeVar("_S", bound=Struct)
_UNKNOWN = "Object contains unknown field"


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person writes: a key that it does not know is an error."""


class Kept(Struct, frozen=True, kw_only=True):
    """What we keep: keys of later versions are read over, so old code can read new records."""


class Misfit(Struct, frozen=True):
    """One thing that does not fit.

    :param where: the keys that lead there.
    :param text: what is wrong, without a full stop.
    :param given: what is there, for where it can be no secret; empty where something is missing.
    :param owner: the shape whose key this is.
    :param is_unknown: the last key of ``where`` is none that ``owner`` has.
    """

    where: tuple[str, ...]
    text: str
    owner: type[Struct]
    given: str = ""
    is_unknown: bool = False


def checked(shape: type[_S], fields: Mapping[str, Any]) -> _S:
    """Return the value that plain fields make, each of its type.

    :param fields: plain values; values that are of their shape already are taken as they are.
    :raises ValueError: with the first thing that does not fit; :func:`misfits` names all.
    """
    return msgspec.convert(dict(fields), shape)


def replaced(value: _S, **fields: Any) -> _S:
    """Return the value with other fields. They are not checked: mypy does that."""
    return msgspec.structs.replace(value, **fields)


def to_json(value: Struct) -> bytes:
    """Return the value as JSON, all fields in the order of its shape; a number that is not finite becomes ``null``.

    :raises ValueError: if it holds what JSON has no word for.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_as_text)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def from_json(shape: type[_S], data: bytes | str) -> _S:
    """Read a value back.

    :raises ValueError: if it is no JSON, or does not fit.
    """
    return msgspec.json.decode(data, type=shape, dec_hook=_from_text)


def plain(value: Struct) -> dict[str, Any]:
    """Return the value as plain values, all fields."""
    return dict(msgspec.to_builtins(value, enc_hook=_as_text))


def _as_text(value: Any) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _from_text(kind: type, text: Any) -> Any:
    if kind is Path:
        return Path(text)
    raise TypeError(f"{kind.__name__} is not read from JSON")


def said(value: Struct, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the value as plain values, without what is at its default, at any depth.

    :param without: fields of the value itself that are left out whatever they are.
    """
    shown = {}
    for field in msgspec.structs.fields(value):
        given = getattr(value, field.name)
        if field.name not in without and given != default_of(field):
            shown[field.name] = _said(given)
    return shown


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """Return what a field is when nobody says anything; ``msgspec.NODEFAULT`` where somebody has to."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def keys(shape: type[Struct]) -> tuple[str, ...]:
    """Return the names of a shape's fields."""
    return shape.__struct_fields__


def _said(value: Any) -> Any:
    if isinstance(value, Struct):
        return said(value)
    if isinstance(value, Mapping):
        return {key: _said(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_said(inner) for inner in value]
    return msgspec.to_builtins(value)


def misfits(shape: type[Struct], fields: Mapping[str, Any]) -> Iterator[Misfit]:
    """Yield everything that does not fit, for a person: each place that is wrong, with its keys.

    :param fields: what :func:`checked` has refused.
    """
    found = list(_of_keys(shape, fields, ()))
    if not found:
        found = [Misfit((), _problem(fields, shape) or "it does not fit", shape)]
    yield from found


def _of_keys(shape: type[Struct], given: Mapping[str, Any], where: tuple[str, ...]) -> Iterator[Misfit]:
    types = get_type_hints(shape, include_extras=True)
    for name in given:
        if name not in types:
            yield Misfit((*where, str(name)), "unknown key", shape, is_unknown=True)
    for field in msgspec.structs.fields(shape):
        if field.name in given:
            yield from _of_value(types[field.name], given[field.name], (*where, field.name), shape)
        elif field.required:
            yield Misfit((*where, field.name), "this key is missing", shape)


def _of_value(kind: Any, value: Any, where: tuple[str, ...], owner: type[Struct]) -> Iterator[Misfit]:
    problem = _problem(value, kind)
    if problem is None:
        return
    inner = list(_inside(kind, value, where, owner))
    yield from inner or [Misfit(where, problem, owner, repr(value))]


def _inside(kind: Any, value: Any, where: tuple[str, ...], owner: type[Struct]) -> Iterator[Misfit]:
    """Look for the misfit inside of a mapping, whose keys msgspec's own message leaves out."""
    if not isinstance(value, Mapping):
        return
    if get_origin(kind) is dict:
        of_key, of_value = get_args(kind)
        for key, inner in value.items():
            problem = _problem(key, of_key)
            if problem is not None:
                yield Misfit((*where, str(key)), f"the name does not fit: {problem}", owner, repr(key))
            yield from _of_value(of_value, inner, (*where, str(key)), owner)
        return
    choices = [kind, *get_args(kind)]
    shape = next((choice for choice in choices if isinstance(choice, type) and issubclass(choice, Struct)), None)
    if shape is not None:
        yield from _of_keys(shape, value, where)


def _problem(value: Any, kind: Any) -> str | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error).partition(" - at `")[0]
    return None
