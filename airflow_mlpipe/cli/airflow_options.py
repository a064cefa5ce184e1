"""The options with which a command names an Airflow and who is calling."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_mlpipe.airflow_rest.login import (
    PASSWORD_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    USER_VARIABLE,
    Given,
    Login,
    read_login,
)


def add_airflow_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; a secret has no option of its own, for others can read a command line."""
    group = parser.add_argument_group("Airflow")
    group.add_argument("--url", metavar="URL", help=f"address of the API server; default: ${URL_VARIABLE}")
    group.add_argument("--user", metavar="NAME", help=f"default: ${USER_VARIABLE}; password in ${PASSWORD_VARIABLE}")
    group.add_argument("--password-file", type=Path, metavar="FILE", help="file that holds the password, nothing else")
    group.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"file that holds a bearer token; default: ${TOKEN_VARIABLE}"
    )
    group.add_argument(
        "--allow-http", action="store_true", help="send credentials unencrypted to another machine all the same"
    )


def login_of(arguments: argparse.Namespace) -> Login:
    """Return the login that the options and the environment name.

    :raises ConfigError: if something is missing or wrong.
    """
    return read_login(
        Given(arguments.url, arguments.user, arguments.token_file, arguments.password_file, bool(arguments.allow_http))
    )
