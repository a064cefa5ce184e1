"""The software of a step with nothing left to read from other files, and what of it counts for identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from airflow_mlpipe.environment.requirements import package_name
from airflow_mlpipe.errors import ConfigError


@dataclass(frozen=True)
class EnvironmentDefinition:
    """The software of a step, with nothing left to read from other files.

    :param python: version or range as uv understands it (``3.11``, ``>=3.10,<3.13``); ``None``: the image's own.
    :param pip: requirement lines, without comments, blanks and references to other files.
    :param conda: conda package specs other than ``python`` and ``pip``.
    :param image: container image.
    :param constraints: lines that limit versions without asking for a package (pip's ``-c``).
    :param channels: conda channels, first one first; they count only if there are conda packages.
    """

    python: str | None = None
    pip: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    image: str | None = None
    constraints: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Return what counts for reuse, each package under its own name; the order of lines does not count."""
        parts: dict[str, Any] = {
            "python": self.python,
            "pip": _by_package(self.pip),
            "conda": _by_package(self.conda),
            "image": self.image,
            "constraints": _by_package(self.constraints),
            "channels": list(self.channels) if self.conda else None,
        }
        return {name: value for name, value in parts.items() if value}

    def files(self) -> dict[str, str]:
        """Return the files for an installer, name to text: ``requirements.txt``, which names ``constraints.txt``."""
        lines = [*self.pip, *(["-c constraints.txt"] if self.constraints else [])]
        texts = {"requirements.txt": "".join(f"{line}\n" for line in lines)}
        if self.constraints:
            texts["constraints.txt"] = "".join(f"{line}\n" for line in self.constraints)
        return texts

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EnvironmentDefinition:
        """Read :meth:`to_json` back.

        :raises ConfigError: if it is not what :meth:`to_json` gives.
        """
        known = {item.name for item in fields(cls)}
        if not isinstance(value, Mapping) or not set(value) <= known:
            raise ConfigError(
                f"No definition of an environment: {value!r:.200}. Its keys are {', '.join(sorted(known))}."
            )
        return cls(
            python=_text(value.get("python")),
            pip=_lines(value.get("pip")),
            conda=_lines(value.get("conda")),
            image=_text(value.get("image")),
            constraints=_lines(value.get("constraints")),
            channels=_lines(value.get("channels")),
        )


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f"No definition of an environment: {value!r:.200} stands where text is expected.")


def _lines(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigError(f"No definition of an environment: {value!r:.200} stands where a list of text is expected.")


def _by_package(lines: Iterable[str]) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for line in sorted(set(lines)):
        found.setdefault(package_name(line), []).append(line)
    return {name: same[0] if len(same) == 1 else same for name, same in sorted(found.items())}
