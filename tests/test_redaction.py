"""No secret in any text."""

from __future__ import annotations

import copy
import logging
import pickle
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.redaction import HIDDEN, Redactor, Secret, quieten_libraries

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL3N0b3JhZ2UifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "form",
    [KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY), b64encode(KEY.encode()).decode(),
     urlsafe_b64encode(KEY.encode()).decode().rstrip("=")],
)  # fmt: skip
def test_a_known_secret_is_hidden_in_every_form(form: str) -> None:
    assert Redactor([KEY]).clean(f"before {form} after") == f"before {HIDDEN} after"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://a.blob.core.windows.net/c/b?sv=2026&sig=topsecret%3D failed", "topsecret"),
        ("see 'https://a.net/c?comp=list&sig=topsecret'", "topsecret"),
        ("https://user:topsecret@host/path", "topsecret"),
        ("Authorization: Bearer topsecret.topsecret", "topsecret"),
        ("Authorization: SharedKey acct:topsecret+/=", "topsecret"),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=topsecret==;X=1", "topsecret"),
        ("?sv=2026&sig=topsecret", "topsecret"),
        ("next%3Fsig%3Dtopsecret", "topsecret"),
        (f"token {TOKEN} expired", "eyJhdWQi"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    cleaned = Redactor().clean(text)
    assert secret not in cleaned
    assert HIDDEN in cleaned


def test_other_text_stays() -> None:
    text = "3 of 5 files of https://a.net/container/path are missing: a.csv, svelte=1, x?y"
    assert Redactor([KEY, "", "abc"]).clean(text) == text


@given(st.text(min_size=4), st.text(), st.text())
def test_no_text_around_it_brings_a_secret_back(secret: str, before: str, after: str) -> None:
    cleaned = Redactor([secret]).clean(before + secret + after)
    assert cleaned.count(secret) <= HIDDEN.count(secret) * cleaned.count(HIDDEN) + (before + "\0" + after).count(secret)


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(KEY)
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert KEY not in shown
    for write in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not written"):
            write(secret)
    assert secret.reveal() == KEY


def test_libraries_do_not_log_signatures(caplog: pytest.LogCaptureFixture) -> None:
    quieten_libraries()
    quieten_libraries()
    logger = logging.getLogger("urllib3.connectionpool")
    assert len(logger.filters) == 1
    with caplog.at_level(logging.DEBUG):
        logger.debug(
            '%s://%s:%s "%s %s %s" %s %s', "https", "h", 443, "GET", "/c/b?sv=1&sig=topsecret", "HTTP/1.1", 200, 0
        )
        logger.debug("Retrying: %s", "/c?sig=topsecret")
    assert len(caplog.records) == 2
    assert "topsecret" not in caplog.text
    assert "/c/b?" in caplog.text
