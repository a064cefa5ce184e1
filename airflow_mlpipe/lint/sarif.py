"""Findings as SARIF 2.1.0, which code hosts show beside the lines of a change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_mlpipe import __version__
from airflow_mlpipe.lint.findings import Finding
from airflow_mlpipe.spec.codes import SENTENCES, sentence
from airflow_mlpipe.spec.diagnostics import Fault, level_of

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "advice": "note"}
_RULES = [f"MLP{number:03d}" for number in sorted(SENTENCES)]


def as_sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a SARIF log with one run; a finding that a comment allows is in it as suppressed."""
    driver = {
        "name": "airflow-mlpipe",
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in _RULES],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding) for finding in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    text = {"text": sentence(code)}
    level = {"level": _LEVELS[level_of(code)]}
    return {"id": code, "shortDescription": text, "help": text, "defaultConfiguration": level}


def _result(finding: Finding) -> dict[str, Any]:
    fault = finding.fault
    where = f"{fault.path}: " if fault.path else ""
    region = {"startLine": fault.line, "startColumn": fault.column}
    place = {"artifactLocation": {"uri": _uri(fault.file)}, "region": region}
    result = {
        "ruleId": fault.code,
        "ruleIndex": _RULES.index(fault.code),
        "level": _LEVELS[fault.level],
        "message": {"text": f"{where}{fault.message}"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"mlpipe/v1": _fingerprint(fault)},
    }
    return {**result, "suppressions": [{"kind": "inSource"}]} if finding.suppressed else result


def _uri(file: str) -> str:
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _fingerprint(fault: Fault) -> str:
    """The same finding stays the same when lines move."""
    what = "\n".join((fault.file, fault.code, fault.path, fault.message))
    return hashlib.sha256(what.encode()).hexdigest()[:32]
