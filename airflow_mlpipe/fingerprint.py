"""The fingerprint: the identity of a step, in named parts, so that a difference can be told in words.

Encoding values without marking where one ends lets two different steps have one key; systems that do so return the
wrong outputs. Here every value carries its type and its length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from math import isfinite
from typing import Any

from blake3 import blake3

SCHEMA_VERSION = 1
"""Raise it whenever equal parts no longer mean an equal step; earlier records are then misses."""

_DOMAIN = b"mlpipe-key/1"
_ORDER = ("step", "code", "environment", "inputs", "parameters", "variables", "outputs", "reuse_version", "schema")


def canonical(value: Any) -> bytes:
    """Return bytes that two values share only if they are the same value of the same type.

    ``1``, ``1.0``, ``True`` and ``"1"`` differ, so do a list and a tuple, ``0.0`` and ``-0.0``, and a time with and
    without a zone. The order of a mapping's keys does not count. Text is not normalised; lone surrogates (file names
    that are not UTF-8) are kept.

    :param value: ``None``, bool, int, float, str, bytes, list, tuple, dict with text keys, date or datetime.
    :raises TypeError: for any other type.
    :raises ValueError: for a float that is infinite or no number: it is not equal to itself, or has no JSON form.
    """
    if isinstance(value, SharedPart):
        return value.canonical
    tag, body = _encoded(value)
    return tag + len(body).to_bytes(8, "big") + body


class SharedPart(dict[str, Any]):
    """A part that many steps of a run have in common, such as the installed packages; encoded once, so never changed.

    It counts as the plain mapping that it is.
    """

    @cached_property
    def canonical(self) -> bytes:
        """The bytes of :func:`canonical`."""
        return canonical(dict(self))


def _encoded(value: Any) -> tuple[bytes, bytes]:
    kind = type(value)
    if kind in _SCALARS:
        tag, encode = _SCALARS[kind]
        return tag, encode(value)
    if kind is list or kind is tuple:
        return b"l" if kind is list else b"t", b"".join(map(canonical, value))
    if isinstance(value, dict):
        return b"m", b"".join(canonical(key) + canonical(value[key]) for key in sorted(map(_text_key, value)))
    if isinstance(value, datetime):
        return b"D", value.isoformat().encode()
    raise TypeError(f"A value of type {kind.__name__} has no fixed form, so it cannot count for reuse: {value!r:.80}")


def _text_key(key: object) -> str:
    if type(key) is not str:
        raise TypeError(f"A mapping that counts for reuse has text keys; {key!r} is of type {type(key).__name__}.")
    return key


def _float(value: float) -> bytes:
    if not isfinite(value):
        raise ValueError(f"{value!r} cannot count for reuse: it is not a finite number.")
    return struct.pack(">d", value)


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


_SCALARS: dict[type, tuple[bytes, Any]] = {
    type(None): (b"n", lambda _: b""),
    bool: (b"b", lambda value: b"1" if value else b"0"),
    int: (b"i", lambda value: b"%x" % value if value >= 0 else b"-%x" % -value),
    float: (b"f", _float),
    str: (b"s", _text),
    bytes: (b"y", bytes),
    date: (b"d", lambda value: value.isoformat().encode()),
}


@dataclass(frozen=True)
class Fingerprint:
    """The identity of a step.

    :param parts: name of a part (``step``, ``code``, ``environment``, ``inputs``, ``parameters``, ``outputs``,
        ``reuse_version``) to its plain value. ``schema`` is added, so that it shows in differences.
    """

    parts: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", {**self.parts, "schema": SCHEMA_VERSION})

    @property
    def key(self) -> str:
        """The key under which outputs are found again: 64 hexadecimal digits.

        :raises TypeError, ValueError: as :func:`canonical`.
        """
        return blake3(_DOMAIN + canonical(dict(self.parts))).hexdigest()


@dataclass(frozen=True)
class Difference:
    """One thing in which two fingerprints differ.

    :param part: name of the part.
    :param name: what in it: a parameter, a file, a port; deeper levels joined by dots; empty if it is one value.
    :param old, new: plain values, ``None`` where there is nothing.
    """

    part: str
    name: str
    old: Any
    new: Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return all in which two fingerprints differ, in the order in which people ask: step, code, environment, ...

    Parts that went through JSON compare equal to those that did not.

    :param old, new: the ``parts`` of two fingerprints.
    """
    names = sorted({*old, *new}, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    return [found for name in names for found in _walk(name, "", _part(old, name), _part(new, name))]


class _Absent:
    """Nothing there, which is not the same as ``None``."""


_ABSENT = _Absent()


def _part(parts: Mapping[str, Any], name: str) -> Any:
    return _plain(parts[name]) if name in parts else _ABSENT


def _walk(part: str, name: str, old: Any, new: Any) -> Iterator[Difference]:
    if _same(old, new):
        return
    before, after = ({} if value is None or value is _ABSENT else value for value in (old, new))
    if isinstance(before, dict) and isinstance(after, dict) and (before or after):
        for key in sorted({*before, *after}):
            yield from _walk(part, f"{name}.{key}" if name else key, before.get(key, _ABSENT), after.get(key, _ABSENT))
    else:
        yield Difference(part, name, _shown(old, new), _shown(new, old))


def _shown(value: Any, other: Any) -> Any:
    if value is _ABSENT:
        return None
    return "null" if value is None and other is _ABSENT else value


def _same(old: Any, new: Any) -> bool:
    if old is _ABSENT or new is _ABSENT:
        return old is new
    return canonical(old) == canonical(new)


def _plain(value: Any) -> Any:
    """Return what JSON makes of a value."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value
