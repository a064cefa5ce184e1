"""The files around the code: nothing of one machine, changelog, decisions, and documents that say what is there."""

import argparse
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from airflow_mlpipe.cli.main import COMMANDS, command_module, main
from airflow_mlpipe.generator import Renderer, build
from airflow_mlpipe.spec import load_pipeline

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [ROOT / "README.md", *DOCS]
KINDS = ("feature", "bugfix", "doc", "removal", "misc")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every subcommand of ``mlpipe`` with its parser."""
    parsers = {}
    for name in COMMANDS:
        parsers[name] = argparse.ArgumentParser(name)
        command_module(name).add_arguments(parsers[name])
    return parsers


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_tracked_files_know_no_machine() -> None:
    homes = re.compile(r"(?<![\w.$~-])/(?:ro{2}t|wo[r]k|home/[a-z]+)/|--(?:extra-)?index[-]url")
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in homes.finditer(text)]
    assert found == []


def test_changelog_fragments_are_well_formed() -> None:
    fragments = [path for path in sorted((ROOT / "changelog.d").iterdir()) if path.name != "README.md"]
    assert fragments
    for path in fragments:
        assert re.fullmatch(rf"(\+[a-z0-9-]+|\d+)\.({'|'.join(KINDS)})\.md", path.name), path.name
        text = path.read_text(encoding="utf-8").strip()
        assert 20 < len(text) < 600, f"{path.name} should be one or two sentences"
        assert text.endswith("."), path.name


def test_decisions_have_context_choice_and_consequence() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [path.name[:3] for path in decisions]
    assert len(set(numbers)) == len(numbers) >= 6
    for path in decisions:
        assert re.fullmatch(r"\d{3}-[a-z0-9-]+\.md", path.name), path.name
        text = path.read_text(encoding="utf-8")
        missing = [
            word
            for word in ("Context", "Choice", "Consequence")
            if not re.search(rf"^(## |\*\*){word}", text, re.MULTILINE)
        ]
        assert not missing, f"{path.name} has no {missing}"


def test_every_command_is_documented() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in TEXTS)
    names = commands()
    assert {"init", "validate", "generate", "plan", "run", "explain", "schema"} <= names.keys()
    assert [name for name in names if f"mlpipe {name}" not in text] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_name_commands_that_exist(path: Path) -> None:
    """Every ``$ mlpipe ...`` and ``$ make ...`` line, and every option in it, is real."""
    text = path.read_text(encoding="utf-8")
    known = commands()
    for line in re.findall(r"^\s*(?:\$ )?((?:mlpipe|make) [^\n#]*)", text, re.MULTILINE):
        program, word, *rest = line.split()
        if program == "make":
            assert word in targets(), f"{path.name}: make {word}"
            continue
        assert word in known, f"{path.name}: mlpipe {word}"
        options = known[word]._option_string_actions
        unknown = [option for option in rest if option.startswith("--") and option.partition("=")[0] not in options]
        assert not unknown, f"{path.name}: {line} has unknown {unknown}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_every_fault_code_is_documented() -> None:
    listed = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
    used = set()
    for path in (ROOT / "airflow_mlpipe").rglob("*.py"):
        used |= set(re.findall(r'"(MLP\d{3})"', path.read_text(encoding="utf-8")))
    assert len(used) > 20
    assert sorted(code for code in used if code not in listed) == []
    rows = set(re.findall(r"^\| (MLP\d{3}) ", listed, re.MULTILINE))
    assert sorted(rows - used) == []


def test_pipeline_of_the_readme_is_the_one_that_init_writes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[0])
    written = (ROOT / "dag_templates/init/general/pipeline.yml").read_text(encoding="utf-8")
    expected = yaml.safe_load(written.replace("PIPELINE_NAME", "measurements"))
    expected.pop("$schema")
    assert shown == expected


def test_dag_of_the_readme_is_the_one_that_generate_writes(tmp_path: Path) -> None:
    """After a change of the generator: make these two files again and paste the second into the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0]
    assert main(["init", str(tmp_path / "measurements")]) == 0
    spec = load_pipeline(tmp_path / "measurements" / "pipeline.yml")
    (file,) = build([spec], tmp_path / "dags", Renderer(None))
    assert shown.splitlines() == file.text.splitlines()[3:]
