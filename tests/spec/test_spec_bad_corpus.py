"""Every file in tests/spec/bad has its faults in its first lines: place, code and words, all of them and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_mlpipe.errors import SpecError
from airflow_mlpipe.spec import load_pipeline

BAD = Path(__file__).parent / "bad"
EXPECT = re.compile(r"# expect (?:(?P<file>[^\s:]+):)?(?P<line>\d+):(?P<column>\d+) (?P<code>MLP\d{3}) (?P<words>.+)")


def expected(text: str, name: str) -> list[tuple[str, int, int, str, str]]:
    found = []
    for line in text.splitlines():
        match = EXPECT.fullmatch(line)
        if match is None:
            break
        found.append((match["file"] or name, int(match["line"]), int(match["column"]), match["code"], match["words"]))
    return sorted(found)


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yml")), ids=lambda path: path.stem)
def test_each_fault_is_found_at_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    wanted = expected(path.read_text(), path.name)
    with pytest.raises(SpecError) as caught:
        load_pipeline(path.name)
    lines = str(caught.value).splitlines()
    places = [" ".join(line.split(" ")[:3]) for line in lines]
    assert places == [f"{file}:{line}:{column} error {code}" for file, line, column, code, _ in wanted], "\n".join(
        lines
    )
    for line, (*_, words) in zip(lines, wanted, strict=True):
        assert words in line


def test_the_corpus_is_large() -> None:
    assert len(list(BAD.glob("*.yml"))) > 120
