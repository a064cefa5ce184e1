"""Checks a mapping against a raw model and turns pydantic's words into faults with positions.

What is wrong is noted and left out, so that the rest of the mapping still takes part in the later checks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from airflow_mlpipe.spec.diagnostics import Faults, KeyPath, Place, did_you_mean, listed
from airflow_mlpipe.spec.documents import Raw

ModelT = TypeVar("ModelT", bound=Raw)

_SHAPES = {
    "dict": "a mapping of keys",
    "model": "a mapping of keys",
    "list": "a list",
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def describe(value: object) -> str:
    """Return a short picture of a value for a message."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Follow a path to the nested model that holds it."""
    for key in path:
        info = next((info for name, info in model.model_fields.items() if (info.alias or name) == key), None)
        found = _annotated_models(info.annotation if info else None)
        if not found:
            break
        model = found[0]
    return model


def _annotated_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _annotated_models(part)]


def _wrong_type(errors: list[ErrorDetails]) -> str:
    """Return one message for a value that is of none of the allowed types."""
    kinds = [error["type"].removesuffix("_type").removesuffix("_from_float") for error in errors]
    if "float" in kinds:
        kinds = [kind for kind in kinds if kind != "int"]
    value = errors[0]["input"]
    hint = " Put it in quotes." if kinds == ["string"] and isinstance(value, bool | int | float) else ""
    wanted = " or ".join(dict.fromkeys(_SHAPES.get(kind, kind) for kind in kinds))
    return f"must be {wanted}, got {describe(value)}.{hint}"


def _literal(error: ErrorDetails) -> str:
    allowed = [word.strip().strip("'") for word in str(error["ctx"]["expected"]).replace(" or ", ", ").split(",")]
    hint = did_you_mean(error["input"], allowed) if isinstance(error["input"], str) else ""
    return f"must be {' or '.join(repr(word) for word in allowed)}, got {describe(error['input'])}.{hint}"


def _bound(error: ErrorDetails) -> str:
    words = {"greater_than": "more than", "greater_than_equal": "at least", "less_than_equal": "at most"}
    limits = {"greater_than": "gt", "greater_than_equal": "ge", "less_than_equal": "le"}
    return f"must be {words[error['type']]} {error['ctx'][limits[error['type']]]:g}, got {describe(error['input'])}."


_VALUE_FAULTS: dict[str, Callable[[ErrorDetails], str]] = {
    "literal_error": _literal,
    "greater_than": _bound,
    "greater_than_equal": _bound,
    "less_than_equal": _bound,
    "string_too_short": lambda _: "must not be empty.",
    "too_short": lambda _: "must not be empty.",
    "finite_number": lambda error: f"must be a finite number, got {error['input']}.",
    "string_pattern_mismatch": lambda error: f"must be made of letters, digits, '_', '-', '.', got {error['input']!r}.",
}


def _path_in(data: Any, loc: tuple[int | str, ...]) -> KeyPath:
    """Return the part of pydantic's location that is a path in the data."""
    path: list[int | str] = []
    for key in loc:
        is_item = isinstance(data, list) and isinstance(key, int) and key < len(data)
        if not is_item and not (isinstance(data, dict) and key in data):
            break
        data = data[key]
        path.append(key)
    return tuple(path)


def _note(model: type[BaseModel], errors: list[ErrorDetails], place: Place, path: KeyPath, faults: Faults) -> None:
    """Note what is wrong with one value; a value that may have several types has an error for each."""
    here, error = place.below(path), errors[0]
    if error["type"] == "extra_forbidden":
        known = _known_keys(_model_at(model, path[:-1]))
        hint = did_you_mean(str(path[-1]), known) or f" Known keys: {', '.join(sorted(known))}."
        faults.add_unknown_key(here, hint)
    elif error["type"] == "missing":
        for each in errors:
            faults.add(here, "MLP022", f"the key '{each['loc'][-1]}' is missing.", of_key=True)
    elif error["type"] in _VALUE_FAULTS:
        faults.add(here, "MLP024", _VALUE_FAULTS[error["type"]](error))
    else:
        faults.add(here, "MLP023", _wrong_type(errors))


def _without(data: Any, paths: list[KeyPath]) -> Any:
    """Return a copy of the data without the values at the paths."""
    data = copy.deepcopy(data)
    for path in sorted(paths, key=lambda path: [str(key).zfill(9) for key in path], reverse=True):
        holder = data
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
    return data


def validate(model: type[ModelT], data: Any, place: Place, faults: Faults) -> ModelT | None:
    """Read data as a model; note every fault, ignored and refused key.

    :returns: the model without what was wrong, ``None`` if too little is left: a required key is missing or wrong.
    """
    if not isinstance(data, dict):
        faults.add(place, "MLP023", f"must be a mapping of keys, got {describe(data)}.")
        return None
    try:
        result = model.model_validate(data)
    except ValidationError as error:
        bad: dict[KeyPath, list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False, include_context=True):
            bad.setdefault(_path_in(data, detail["loc"]), []).append(detail)
        for path, details in bad.items():
            _note(model, details, place, path, faults)
        try:
            result = model.model_validate(_without(data, [path for path in bad if path]))
        except ValidationError:
            return None
    _note_unused(result, place, faults)
    return result


def _note_unused(value: Raw, place: Place, faults: Faults) -> None:
    for name, info in type(value).model_fields.items():
        if name not in value.model_fields_set:
            continue
        key = info.alias or name
        extra = info.json_schema_extra
        if isinstance(extra, dict) and "refused" in extra:
            faults.add(place / key, "MLP027", f"is not supported: {extra['refused']}", of_key=True)
        elif isinstance(extra, dict) and "ignored" in extra:
            faults.add(place / key, "MLP201", f"is not used: {extra['ignored']}", of_key=True)
        nested = getattr(value, name)
        if isinstance(nested, Raw):
            _note_unused(nested, place / key, faults)


def texts(data: dict[str, Any] | None, place: Place, faults: Faults) -> dict[str, str]:
    """Read a mapping of names to text; a number or boolean counts as it was written."""
    result: dict[str, str] = {}
    for name, value in (data or {}).items():
        if isinstance(value, dict | list):
            faults.add(place / name, "MLP023", f"must be text, got {describe(value)}.")
            continue
        written = (place / name).text
        result[name] = value if isinstance(value, str) else (written if written is not None else str(value))
    return result


def known(word: str, words: list[str]) -> str:
    """Return the end of a message about an unknown word: the closest one, or all."""
    return did_you_mean(word, words) or f" Known: {listed(words)}."
