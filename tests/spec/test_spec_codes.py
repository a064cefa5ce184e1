"""The codes in the source, in docs/codes.md and in the corpus are the same."""

from __future__ import annotations

import re
from pathlib import Path

import airflow_mlpipe

PACKAGE = Path(airflow_mlpipe.__file__).parent
SPEC = PACKAGE / "spec"
CODES = Path(__file__).parents[2] / "docs" / "codes.md"
CODE = re.compile(r"MLP\d{3}")


def in_source(folder: Path) -> set[str]:
    return {code for path in folder.rglob("*.py") for code in re.findall(r"\"(MLP\d{3})\"", path.read_text())}


def test_every_code_is_documented_once() -> None:
    rows = [line.split("|")[1].strip() for line in CODES.read_text().splitlines() if line.startswith("| MLP")]
    assert sorted(rows) == sorted(set(rows))
    assert set(rows) == in_source(PACKAGE)


def test_every_error_has_a_bad_file() -> None:
    corpus = {code for path in Path(__file__).parent.glob("bad/*.yml") for code in CODE.findall(path.read_text())}
    not_files = {"MLP001", "MLP002", "MLP004", "MLP011"}  # cannot be written as a small text file; see test_spec_reader
    errors = {code for code in in_source(SPEC) if int(code[3:]) < 200}
    assert errors - corpus == not_files
