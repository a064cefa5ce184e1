"""Reading requirement lines: ``-r`` and ``-c`` are followed, what an identity could not see is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from airflow_mlpipe.errors import ConfigError, DataError

_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"(?P<option>-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S.*)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HASHES = re.compile(r"(\s+--hash=\w+:[0-9a-fA-F]+)+$")
_LOCAL = re.compile(r"(-e|--editable|[./~]|file:|\w:\\)|.*@\s*(file:|[./])|[^@]*\.(whl|zip|tar\.gz)\s*$")
_CREDENTIALS = re.compile(r"://[^/\s]*@")


def package_name(line: str) -> str:
    """Return the normalised name of the package that a requirement line or conda spec asks for."""
    match = _NAME.match(line.rpartition("::")[2])
    return normalised(match.group()) if match else line


def normalised(name: str) -> str:
    """Return the one spelling of a package name that the packaging standard (PEP 503) gives it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass
class RequirementLines:
    """Requirement lines, gathered from a list or a file and from the files that these name.

    :param pip: lines that ask for a package.
    :param constraints: lines that only limit its version.
    """

    pip: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)

    @classmethod
    def of_list(cls, lines: Iterable[object], folder: Path, shown: str) -> RequirementLines:
        """Read lines that stand in a YAML list.

        :param folder: relative ``-r`` and ``-c`` paths start from it and must stay inside.
        :param shown: what messages call the list.
        :raises ConfigError, DataError: as :meth:`of_file`.
        """
        texts = list(lines)
        if wrong := [item for item in texts if not isinstance(item, str)]:
            raise ConfigError(f"{shown}: {wrong[0]!r} is not a requirement line. Write text, such as pandas==2.2.3.")
        reader = _Reader(cls(), folder)
        reader.take("\n".join(map(str, texts)), folder, shown, constraint=False)
        return reader.found

    @classmethod
    def of_file(cls, path: Path, base: Path) -> RequirementLines:
        """Read a requirements file.

        :param base: files named by ``-r`` and ``-c`` must lie in it, or in the file's own folder if that is elsewhere.
        :raises ConfigError: if a line is malformed or cannot be honoured.
        :raises DataError: if a file is missing or cannot be read.
        """
        root = base if _real(path).is_relative_to(_real(base)) else path.parent
        reader = _Reader(cls(), root)
        reader.read(path, constraint=False, named_by=None)
        return reader.found


class _Reader:
    def __init__(self, found: RequirementLines, root: Path) -> None:
        self.found = found
        self._root = _real(root)
        self._open: list[Path] = []

    def read(self, path: Path, *, constraint: bool, named_by: str | None) -> None:
        real = _real(path)
        if not real.is_relative_to(self._root):
            raise ConfigError(
                f"{named_by}: {path.name} lies outside {self._root}. Move it there, or write its lines in place."
            )
        if real in self._open:
            raise ConfigError(
                f"{named_by}: {path.name} names itself, directly or through other files. Remove the line."
            )
        try:
            text = real.read_bytes().decode("utf-8-sig")
        except OSError as error:
            where = f"{named_by}: the" if named_by else "The"
            raise DataError(
                f"{where} requirements file {path.name} cannot be read: {error.strerror}. It is looked for at {path}."
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"The requirements file {path} is not UTF-8 text: {error}.") from error
        self._open.append(real)
        self.take(text, real.parent, path.name, constraint=constraint)
        self._open.pop()

    def take(self, text: str, folder: Path, shown: str, *, constraint: bool) -> None:
        for line in text.replace("\\\n", " ").splitlines():
            plain = " ".join(_COMMENT.sub("", line).split())
            if not plain:
                continue
            if _CREDENTIALS.search(plain):
                raise ConfigError(
                    f"{shown}: a requirement holds a user name or password in its address. "
                    "Set it on the machine (.netrc, pip.conf, uv.toml)."
                )
            if include := _INCLUDE.fullmatch(plain):
                limits = constraint or include["option"] in ("-c", "--constraint")
                self.read(folder / include["path"], constraint=limits, named_by=f"{shown}, {plain!r}")
                continue
            _check(plain, shown)
            (self.found.constraints if constraint else self.found.pip).append(plain)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # resolve() raises on links in a circle


def _check(line: str, shown: str) -> None:
    """Refuse a line that is malformed, or whose meaning does not stand in the line itself."""
    if _LOCAL.match(line):
        raise ConfigError(
            f"{shown}: {line!r} names local files, whose changes nobody would see. "
            "Put the package into the step's code, or name a published version."
        )
    if line.startswith("-"):
        option = re.split(r"[ =]", line, maxsplit=1)[0]
        raise ConfigError(
            f"{shown}: the option {option} cannot be used here, only -r, -c and --hash can. Where "
            "packages come from is set on the machine (pip.conf, uv.toml). Remove the line."
        )
    if "$" in line:
        raise ConfigError(
            f"{shown}: {line!r} holds a variable; its value would differ from machine to machine. Write the value."
        )
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - heavy, most starts need none

    try:
        Requirement(_HASHES.sub("", line))
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{shown}: {line!r} is not a requirement ({reason}). Write name==version or name @ https://...; "
            "of pip's options -r, -c and --hash are supported."
        ) from error
