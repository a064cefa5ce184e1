"""Paths as blob names, and settings of an Azure Blob datastore."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlpipe.datastores.azure_blob.names import name_fault, to_blob_name, to_path
from airflow_mlpipe.datastores.azure_blob.settings import read_settings
from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.testing.record_storage import ODD_NAMES

KEY = "c2VjcmV0LWtleQ=="
GOOD: dict[str, Any] = {"type": "azure_blob", "account_name": "acct", "container": "mlpipe"}
_SEGMENT = st.one_of(
    st.text(alphabet="~.2e5c7f0a \\\n\x85", min_size=1, max_size=8),
    st.binary(min_size=1, max_size=8).map(os.fsdecode),
    st.text(min_size=1, max_size=8),
    st.sampled_from(ODD_NAMES),
).filter(lambda name: "/" not in name and "\0" not in name and name not in (".", "..", ".mlpipe"))


def keepable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


_PATH = st.lists(_SEGMENT, min_size=1, max_size=3).map("/".join).filter(keepable)


@given(_PATH)
def test_names_come_back(path: str) -> None:
    name = to_blob_name(path)
    assert to_path(name) == path
    assert name.isprintable() or not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name)
    assert "\\" not in name
    assert all(segment[-1] not in ". " for segment in name.split("/"))


@given(_PATH, _PATH)
def test_two_paths_never_share_a_name(one: str, two: str) -> None:
    assert (to_blob_name(one) == to_blob_name(two)) == (one == two)


@given(st.text(max_size=20))
def test_a_foreign_name_is_read_as_itself_or_not_at_all(name: str) -> None:
    path = to_path(name)
    assert path is None or to_blob_name(path) == name


@pytest.mark.parametrize("name", ["a.csv", "100% #1?.csv", "x y/z", "~root", "a~41", "ä/日本/🙂", " lead", "a+b&c=d"])
def test_ordinary_names_stay(name: str) -> None:
    assert to_blob_name(name) == name == to_path(name)


def test_limits_of_the_service() -> None:
    assert name_fault("x" * 1024) == ""
    assert "1024" in name_fault("x" * 1025)
    assert name_fault("/".join("x" * 254)) == ""
    assert "254" in name_fault("/".join("x" * 255))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": None}, "needs 'container'"),
        ({"container": "Upper"}, "not allowed"),
        ({"container": "a--b"}, "not allowed"),
        ({"account_name": None}, "either 'account_name' or 'account_url'"),
        ({"account_url": "https://acct.blob.core.windows.net"}, "either 'account_name' or 'account_url'"),
        ({"account_name": "ac/ct"}, "not allowed"),
        ({"account_name": None, "account_url": "http://acct.blob.core.windows.net"}, "must begin with https"),
        ({"account_name": None, "account_url": "https://a.net/?sv=1&sig=topsecret"}, "must not hold a query"),
        ({"account_name": None, "account_url": "https://u:topsecret@a.net"}, "must not hold a query"),
        ({"account_name": None, "account_url": "ftp://a.net"}, "must begin with https"),
        ({"prefix": "a/../b"}, "could leave"),
        ({"prefixx": "a"}, "Did you mean 'prefix'"),
        ({"conn_id": "x"}, "only exists inside of Airflow"),
        ({"retries": -1}, "from 0 to 20"),
        ({"retries": True}, "from 0 to 20"),
        ({"credential": "account_key"}, "must be one of"),
        ({"credential": {"account_key": "topsecret"}}, "not the secret itself"),
        ({"credential": {"account_key": {"value": "topsecret"}}}, "not the secret itself"),
        ({"credential": {"sas_token": {"env": "MLPIPE_NOT_SET"}}}, "MLPIPE_NOT_SET is not set"),
        ({"credential": {"sas_token": {"file": "missing"}}}, "cannot be read: No such file"),
        ({"credential": {"sas_token": {"file": "empty"}}}, "is empty"),
        ({"credential": {"client_secret": {"tenant_id": "t"}}}, "has these keys: tenant_id, client_id, secret"),
        ({"credential": {"managed_identity": {"other": "x"}}}, r"has these keys: client_id \(optional\)"),
        ({"credential": {"connection_string": {"file": "key"}}}, "remove account_name"),
    ],
)
def test_wrong_settings_are_explained(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "key").write_text(KEY)
    config = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(ConfigError, match=said) as caught:
        AzureBlobDatastore.from_config("blob", config, tmp_path)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("AccountName=acct", "needs AccountName and AccountKey"),
        ("nonsense", "needs AccountName and AccountKey"),
        ("AccountName=acct;AccountKey=not base64!", "is not base64"),
        ("BlobEndpoint=http://acct.net;SharedAccessSignature=sig=topsecret", "must begin with https"),
    ],
)
def test_wrong_connection_strings_are_explained(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(text)
    config = {"type": "azure_blob", "container": "mlpipe", "credential": {"connection_string": {"file": "text"}}}
    with pytest.raises(ConfigError, match=said) as caught:
        AzureBlobDatastore.from_config("blob", config, tmp_path).read("a")
    assert "topsecret" not in str(caught.value)


def test_secrets_come_from_files_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    (tmp_path / "key").write_text(f"{KEY}\n")
    for place in ({"env": "THE_KEY"}, {"file": "key"}, {"file": str(tmp_path / "key")}):
        settings = read_settings("blob", {**GOOD, "credential": {"account_key": place}}, tmp_path)
        assert settings.credential.secret
        assert settings.credential.secret.reveal() == KEY
        assert KEY not in repr(settings)
    assert read_settings("blob", GOOD, tmp_path).account_url == "https://acct.blob.core.windows.net"
    assert read_settings("blob", {**GOOD, "prefix": "/a/b/"}, tmp_path).prefix == "a/b"


def test_nothing_of_azure_is_imported_before_the_first_request() -> None:
    program = (
        "import sys\n"
        "from airflow_mlpipe.workspace import workspace_from_mapping\n"
        "from pathlib import Path\n"
        "blob = {'type': 'azure_blob', 'account_name': 'acct', 'container': 'mlpipe'}\n"
        "w = workspace_from_mapping({'default_datastore': 'b', 'datastores': {'b': blob}}, Path('.'))\n"
        "w.datastore().local_path('x'); w.reuse; w.runs; w.registry\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('azure', 'msal', 'requests')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
