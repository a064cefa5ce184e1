"""What a workspace may say of a Ray cluster."""

import logging

import pytest

from airflow_mlpipe.compute.ray.settings import read_ray_settings
from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.plugin_loading import COMPUTE_TARGETS, load_plugin

GOOD = {"type": "ray", "address": "http://127.0.0.1:8265/", "workdir": "jobs"}


def test_settings_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TOKEN", "secret-token")
    settings = read_ray_settings("gpu", {**GOOD, "token": {"env": "RAY_TOKEN"}, "python": "/opt/python"}, tmp_path)
    assert settings.address == "http://127.0.0.1:8265"
    assert settings.workdir == tmp_path / "jobs"
    assert settings.token.reveal() == "secret-token"
    assert "secret-token" not in repr(settings)
    target = load_plugin(COMPUTE_TARGETS, "ray").from_config("gpu", GOOD, tmp_path)
    assert target.endpoint == "ray:http://127.0.0.1:8265"
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"adress": "x"}, "Did you mean 'address'"),
        ({"address": None}, "write that of Ray's dashboard"),
        ({"address": "ray://head:10001"}, "another protocol"),
        ({"address": "http://user:pw@head:8265"}, "must not hold"),
        ({"address": "http://head:8265?token=x"}, "must not hold"),
        ({"address": 8265}, "write it as text"),
        ({"token": "written-out"}, "must say where the secret is kept"),
        ({"token": {"env": "NOT_SET_ANYWHERE"}}, "not set or empty"),
        ({"python": "python3; rm -rf x"}, "name or the path of an interpreter"),
        ({"python": "-c"}, "name or the path of an interpreter"),
        ({"conn_id": "ray_default"}, "only exists inside of Airflow"),
        ({"workdir": ""}, "write it as text"),
        ({"moves_data": "yes"}, "write true or false"),
        ({"node_workdir": "jobs"}, "absolute path on the nodes"),
    ],
)
def test_wrong_settings_are_named(tmp_path, change, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load_plugin(COMPUTE_TARGETS, "ray").from_config("gpu", {**GOOD, **change}, tmp_path)
    assert "gpu" in str(caught.value)
    assert "written-out" not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_a_token_in_the_clear_is_warned_of_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RAY_TOKEN", "secret-token")
    config = {**GOOD, "address": "http://ray-head.example:8265", "token": {"env": "RAY_TOKEN"}}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            read_ray_settings("gpu", config, tmp_path)
        read_ray_settings("gpu", GOOD, tmp_path)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["compute gpu"]
    assert "not encrypted" in caplog.text
    assert "secret-token" not in caplog.text
