"""Hosts over SSH: the right one or none, and words that help."""

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.errors import ConfigError
from airflow_mlpipe.redaction import Secret
from airflow_mlpipe.ssh import SSHSettings, check_ssh_keys, connect, read_ssh_settings
from airflow_mlpipe.testing.sshd import SSHServer


def settings(server: SSHServer, **changes: Any) -> SSHSettings:
    config = {key: value for key, value in {**server.settings, **changes}.items() if value is not None}
    return read_ssh_settings("compute box", config, Path("/"))


def said(found: SSHSettings) -> str:
    """Connect and return what the host says of our user."""

    async def ask() -> str:
        async with await connect(found) as connection:
            return str((await connection.run("id -un", check=True)).stdout).strip()

    return asyncio.run(ask())


def test_a_known_host_is_reached(sshd: SSHServer) -> None:
    assert said(settings(sshd)) == sshd.settings["user"]


def test_a_key_of_a_connection_and_its_host_key_will_do(sshd: SSHServer) -> None:
    host_key = " ".join(sshd.known_hosts.read_text().split()[1:3])
    given = {"key_file": None, "known_hosts": None, "host_key": host_key}
    found = settings(sshd, **given, private_key=Secret(sshd.key_file.read_text()))
    assert said(found) == sshd.settings["user"]
    assert "PRIVATE" not in repr(found)


def test_an_unknown_host_is_refused_before_it_sees_our_key(sshd: SSHServer, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    with pytest.raises(ConfigError, match=r"host key of .*@127\.0\.0\.1:\d+ is not among the known ones.*ssh-keyscan"):
        said(settings(sshd, known_hosts=str(tmp_path / "none")))
    assert said(settings(sshd, known_hosts=None, insecure_host_key=True)) == sshd.settings["user"]


def test_another_host_at_the_same_address_is_refused(sshd: SSHServer, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    with pytest.raises(ConfigError, match="another one than before"):
        said(settings(sshd, known_hosts=str(tmp_path / "known")))


def test_a_setting_of_the_user_does_not_weaken_the_check(
    sshd: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile none\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="not among the known ones"):
        said(settings(sshd, known_hosts=None))
    (tmp_path / ".ssh" / "known_hosts").write_bytes(sshd.known_hosts.read_bytes())
    assert said(settings(sshd, known_hosts=None)) == sshd.settings["user"]


def test_a_key_with_a_passphrase(sshd: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.key_file.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-f", str(locked), "-P", "", "-N", "open sesame"], check=True)
    with pytest.raises(ConfigError, match="passphrase is missing or wrong"):
        said(settings(sshd, key_file=str(locked)))
    monkeypatch.setenv("KEY_WORD", "open sesame")
    assert said(settings(sshd, key_file=str(locked), passphrase={"env": "KEY_WORD"})) == sshd.settings["user"]
    with pytest.raises(ConfigError, match="passphrase must say where the secret is kept") as caught:
        settings(sshd, passphrase="open sesame")
    assert "sesame" not in str(caught.value)


def test_what_goes_wrong_is_said(sshd: SSHServer, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "mine")], check=True)
    for changes, error, words in (
        ({"key_file": str(tmp_path / "mine")}, ConfigError, "does not accept the key"),
        ({"key_file": "missing.pem"}, ConfigError, r"missing\.pem cannot be read: No such file"),
        ({"key_file": str(tmp_path / "mine.pub")}, ConfigError, "is no private key that can be used"),
        ({"known_hosts": "missing"}, ConfigError, "file of known hosts /missing cannot be read"),
        ({"port": 1}, ConnectionError, r"cannot be reached over SSH: .*\. Check the host's name"),
    ):
        with pytest.raises(error, match=words):
            said(settings(sshd, **changes))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "'host' is None; write the name"),
        ({"host": "-oProxyCommand=touch x"}, "'host' is"),
        ({"host": "a b"}, "'host' is"),
        ({"host": "box", "user": "-l"}, "'user' is"),
        ({"host": "box", "port": "22"}, "a number from 1 to 65535"),
        ({"host": "box", "port": True}, "a number from 1 to 65535"),
        ({"host": "box", "key_file": 7}, "'key_file' is 7"),
        ({"host": "box", "insecure_host_key": "yes"}, "true and false"),
        ({"host": "box", "insecure_host_key": True, "known_hosts": "x"}, "contradict"),
        ({"host": "box", "password": "secret-word"}, "not the secret itself"),
    ],
)
def test_bad_settings_are_named(config: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read_ssh_settings("datastore d", config, Path("/"))
    assert str(caught.value).startswith("datastore d:")
    assert "secret-word" not in str(caught.value)


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'know_hosts'.*Did you mean 'known_hosts'"):
        check_ssh_keys("datastore d", {"host": "x", "know_hosts": "y"}, ("path",))


def test_addresses_of_every_kind() -> None:
    for host in ("box", "gpu-box.example.org", "10.0.0.7", "::1", "fe80::1%eth0"):
        assert read_ssh_settings("d", {"host": host}, Path("/")).address == host


def test_a_second_start_keeps_port_and_keys(tmp_path: Path) -> None:
    server = SSHServer(tmp_path / "ssh")
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
    server.start()
    port, known = server.port, server.known_hosts.read_text()
    server.stop()
    with pytest.raises(ConnectionError):
        said(settings(server))
    server.start()
    try:
        assert (server.port, server.known_hosts.read_text()) == (port, known)
        assert said(settings(server)) == server.settings["user"]
        assert asyncio.run(dropped(server))
    finally:
        server.stop()


async def dropped(server: SSHServer) -> bool:
    async with await connect(settings(server)) as connection:
        assert server.drop_connections() > 0
        await asyncio.wait_for(connection.wait_closed(), 60)
        return connection.is_closed()
