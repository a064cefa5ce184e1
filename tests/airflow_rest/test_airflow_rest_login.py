"""Which Airflow, and who calls: secrets come from files and the environment, and stay out of errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlpipe.airflow_rest.login import Given, read_login
from airflow_mlpipe.errors import ConfigError

URL = "https://airflow.example.com"


def test_the_environment_is_enough() -> None:
    login = read_login(Given(), {"MLPIPE_AIRFLOW_URL": f"{URL}/", "MLPIPE_AIRFLOW_TOKEN": " abc\n"})
    assert login.url == URL
    assert login.token is not None
    assert login.token.reveal() == "abc"
    assert "abc" not in repr(login)


def test_options_go_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-file\n")
    given = Given(URL, "bob", password_file=tmp_path / "password")
    login = read_login(given, {"MLPIPE_AIRFLOW_USER": "eve", "MLPIPE_AIRFLOW_PASSWORD": "other"})
    assert login.user == "bob"
    assert login.password is not None
    assert login.password.reveal() == "from-file"


@pytest.mark.parametrize(
    ("given", "environment", "words"),
    [
        (Given(), {}, "Which Airflow"),
        (Given("airflow.example.com"), {}, "no address"),
        (Given("https://[broken"), {}, "no address"),
        (Given("https://bob:hunter2@airflow.example.com"), {}, "must hold no user, password"),
        (Given(f"{URL}?token=hunter2"), {}, "must hold no user, password"),
        (Given(URL, "bob"), {}, "password of 'bob' is missing"),
        (Given("http://airflow.example.com"), {"MLPIPE_AIRFLOW_TOKEN": "hunter2"}, "unencrypted"),
        (Given(URL, token_file=Path("absent")), {}, "absent cannot be read"),
    ],
)
def test_mistakes_are_named_without_the_secret(given: Given, environment: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        read_login(given, environment)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    assert read_login(Given(f"http://{host}"), {"MLPIPE_AIRFLOW_TOKEN": "t"}).is_local


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_login(Given(URL, token_file=tmp_path / "token"), {})
