from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from airflow_mlpipe.spec import json_schema
from airflow_mlpipe.spec.diagnostics import Faults
from airflow_mlpipe.spec.reader import read_document

BAD = Path(__file__).parent / "bad"
SHAPE_CODES = {"MLP021", "MLP022", "MLP023", "MLP024", "MLP026", "MLP027", "MLP030"}
BEYOND_A_SCHEMA = {
    "bounds_crossed",
    "data_without_path",
    "infinite_literal",
    "infinite_timeout",
    "partition_field",
    "transfer_mode",
    "variable_name",
}
"""Faults of shape that depend on other values."""


def expectations(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("# expect ")]


def is_about_shape(path: Path) -> bool:
    lines = expectations(path)
    own = all("components/" not in line.split()[2] for line in lines)
    return own and all(line.split()[3] in SHAPE_CODES for line in lines)


SHAPES = [path for path in sorted(BAD.glob("*.yml")) if is_about_shape(path)]


def test_it_is_a_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_every_reference_leads_somewhere_and_everything_is_referenced() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    for name in schema["$defs"]:
        assert f'"#/$defs/{name}"' in text
    for piece in text.split('"#/$defs/')[1:]:
        assert piece.split('"')[0] in schema["$defs"]


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_faults_of_shape_fail_the_schema_too(path: Path) -> None:
    document = read_document(path, path.name, Faults())
    assert document is not None
    valid = jsonschema.Draft202012Validator(json_schema()).is_valid(document.data)
    assert valid is (path.stem in BEYOND_A_SCHEMA)


def test_enough_of_the_corpus_is_about_shape() -> None:
    assert len(SHAPES) > 60


def test_every_key_is_described() -> None:
    schema = json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for key in definition["properties"].values():
            assert key["description"]
