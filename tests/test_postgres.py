"""The PostgreSQL that soaks run Airflow on: there while it is wanted, for who has the password, and gone afterwards."""

import socket
from urllib.parse import urlsplit

import psycopg2
import pytest

from airflow_mlpipe.testing.postgres import PostgresServer


def test_a_server_serves_its_owner_alone_and_leaves_nothing() -> None:
    with PostgresServer() as server:
        address = server.address.replace("+psycopg2", "")
        folder = server.folder
        assert folder.stat().st_mode & 0o077 == 0
        with psycopg2.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("show listen_addresses")
            assert cursor.fetchone() == ("127.0.0.1",)
        connection.close()
        password = urlsplit(address).password
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(address.replace(str(password), "wrong"))
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=10)
