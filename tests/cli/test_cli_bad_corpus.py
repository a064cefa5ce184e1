"""The command over the whole corpus of bad pipelines: each is told with its place, nothing is written."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from airflow_mlpipe.cli.main import main
from tests.spec.test_spec_bad_corpus import BAD, expected

KINDS = {"syntax": range(1, 20), "types": range(21, 40), "meaning": range(40, 200)}
"""Codes of what is no data, of what is no pipeline, and of what cannot be meant."""


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yml")), ids=lambda path: path.stem)
def test_generate_tells_every_fault_and_writes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(BAD)
    before = sorted(BAD.rglob("*"))
    assert main(["generate", path.name, "-o", str(tmp_path / "dags")]) == 2
    out, err = capsys.readouterr()
    wanted = expected(path.read_text(encoding="utf-8"), path.name)
    found = re.findall(r"^(\S+?):(\d+):(\d+) error (MLP\d{3})  (\S.*)$", err, re.MULTILINE)
    places = [(file, int(line), int(column), code) for file, line, column, code, _ in found]
    assert places == [(file, line, column, code) for file, line, column, code, _ in wanted]
    assert "Traceback" not in err
    assert out == "0 written, 0 unchanged\n"
    assert not (tmp_path / "dags").exists()
    assert sorted(BAD.rglob("*")) == before


def test_the_corpus_holds_every_kind_of_mistake() -> None:
    counts: Counter[str] = Counter()
    for path in BAD.glob("*.yml"):
        (_, _, _, code, _), *_ = expected(path.read_text(encoding="utf-8"), path.name)
        counts.update(kind for kind, numbers in KINDS.items() if int(code[3:]) in numbers)
    assert counts["syntax"] >= 60
    assert counts["types"] >= 40
    assert counts["meaning"] >= 80
