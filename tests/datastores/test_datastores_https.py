"""Reading from web servers: a real server with TLS on loopback, and a transfer from it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from airflow_mlpipe.content.markers import is_marker
from airflow_mlpipe.datastores.https import HttpsDatastore
from airflow_mlpipe.datastores.https_client import Limits
from airflow_mlpipe.errors import ConfigError, DataError, StoreError
from airflow_mlpipe.execution.lifecycle import begin
from airflow_mlpipe.execution.run_info import RunInfo
from airflow_mlpipe.spec import load_pipeline
from airflow_mlpipe.tracking.base import StepRecord
from airflow_mlpipe.workspace import workspace_from_mapping

BODY = bytes(range(256)) * 4096
OLD = datetime.now(timezone.utc) - timedelta(days=1)


PIPELINE = """
type: pipeline
name: web
inputs: {airports: {type: uri_file, path: 'https://BASE/airports.csv?year=2013'}}
jobs:
  ingest:
    type: data_transfer
    task: copy_data
    inputs: {airports: '${{parent.inputs.airports}}'}
    outputs: {raw: {type: uri_folder, name: airports}}
"""


@dataclass
class Web:
    """What the server gives.

    :ivar headers: of every answer.
    :ivar cut: bytes after which it breaks off, once.
    :ivar asked: method, path and range of every request.
    """

    base: str = ""
    body: bytes = BODY
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    cut: int | None = None
    ranges: bool = True
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    web: Web

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(self.web.body)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        web, wanted = self.web, self.headers.get("Range")
        web.asked.append((self.command, self.path, wanted))
        start, status = 0, web.status
        if wanted and web.ranges and self.headers.get("If-Range") == web.headers.get("ETag"):
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
        self.send_response(404 if self.path == "/absent" else status)
        for name, value in web.headers.items():
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(web.body) - 1}/{len(web.body)}")
        self.send_header("Content-Length", str(len(web.body) - start))
        self.end_headers()
        cut, web.cut = (web.cut, None) if body else (None, web.cut)
        self.wfile.write(body[start:] if cut is None else body[start:cut])
        self.close_connection = True


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(OLD).not_valid_after(OLD + timedelta(days=9)).add_extension(names, False)
    certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    folder = tmp_path_factory.mktemp("authority")
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder


@pytest.fixture
def web(authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    given = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"web": given}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up on purpose
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    given.base = f"127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield given
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(web: Web) -> HttpsDatastore:
    return HttpsDatastore("https", None, Limits(allow_private=True, timeout=5))


def test_a_file_is_copied_and_its_digest_taken(store: HttpsDatastore, web: Web, tmp_path: Path) -> None:
    from airflow_mlpipe.content.digest import scan

    moved: list[int] = []
    manifest = store.download(f"{web.base}/data/a.csv?x=1", tmp_path / "a.csv", progress=moved.append)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert manifest == scan(tmp_path / "a.csv")
    assert sum(moved) == len(BODY)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert web.asked == [("GET", "/data/a.csv?x=1", None)]


def test_a_strong_etag_is_the_identity_and_no_bytes_are_read(store: HttpsDatastore, web: Web) -> None:
    first = store.summary(f"{web.base}/a")
    assert first is not None
    assert (is_marker(first.digest), first.size, first.kind) == (True, len(BODY), "file")
    assert store.summary(f"{web.base}/a") == first
    assert {method for method, *_ in web.asked} == {"HEAD"}
    web.headers = {"ETag": '"two"'}
    second = store.summary(f"{web.base}/a")
    assert second is not None
    assert second.digest != first.digest


@pytest.mark.parametrize(
    ("headers", "marked"),
    [
        ({"Last-Modified": format_datetime(OLD, usegmt=True)}, True),
        ({"Last-Modified": "now"}, False),
        ({"ETag": 'W/"weak"'}, False),
        ({"ETag": "bare"}, False),
        ({"Last-Modified": "yesterday"}, False),
        ({}, False),
    ],
)
def test_who_vouches_for_nothing_is_read(
    store: HttpsDatastore, web: Web, headers: dict[str, str], marked: bool
) -> None:
    now = format_datetime(datetime.now(timezone.utc), usegmt=True)
    web.headers = {name: now if value == "now" else value for name, value in headers.items()}
    found = store.summary(f"{web.base}/a")
    assert found is not None
    assert is_marker(found.digest) == marked
    web.body = BODY + b"x"
    other = store.summary(f"{web.base}/a")
    assert other is not None
    assert other.digest != found.digest


def test_nothing_there(store: HttpsDatastore, web: Web, tmp_path: Path) -> None:
    assert store.summary(f"{web.base}/absent") is None
    assert store.manifest(f"{web.base}/absent") is None
    with pytest.raises(DataError, match=r"There is nothing at https://127.0.0.1:\d+/absent\. Check"):
        store.download(f"{web.base}/absent", tmp_path / "a")


def test_a_broken_download_goes_on_where_it_was(store: HttpsDatastore, web: Web, tmp_path: Path) -> None:
    web.cut = 300_000
    with pytest.raises(DataError, match="broke off"):
        store.download(f"{web.base}/a", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    moved: list[int] = []
    store.download(f"{web.base}/a", tmp_path / "a", progress=moved.append)
    assert (tmp_path / "a").read_bytes() == BODY
    assert sum(moved) == len(BODY) - 300_000
    assert web.asked[-1] == ("GET", "/a", "bytes=300000-")


@pytest.mark.parametrize("change", ["another file", "no ranges", "weak"])
def test_what_cannot_go_on_begins_anew(store: HttpsDatastore, web: Web, tmp_path: Path, change: str) -> None:
    web.headers = {"ETag": 'W/"weak"'} if change == "weak" else web.headers
    web.cut = 300_000
    with pytest.raises(DataError, match="broke off"):
        store.download(f"{web.base}/a", tmp_path / "a")
    web.ranges = change != "no ranges"
    if change == "another file":
        web.body, web.headers = b"new" * 9999, {"ETag": '"two"'}
    store.download(f"{web.base}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == web.body


def test_too_much_is_refused(web: Web, tmp_path: Path) -> None:
    small = HttpsDatastore("https", None, Limits(max_bytes=1000, allow_private=True))
    with pytest.raises(DataError, match="has more than 1000 bytes"):
        small.download(f"{web.base}/a", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("status", [401, 403, 500, 204])
def test_bad_answers_are_named(store: HttpsDatastore, web: Web, tmp_path: Path, status: int) -> None:
    web.status = status
    with pytest.raises(DataError, match=f"/a answers {status}"):
        store.download(f"{web.base}/a?sig=geheim", tmp_path / "a")


def test_an_encoding_that_nobody_asked_for_is_refused(store: HttpsDatastore, web: Web, tmp_path: Path) -> None:
    web.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(DataError, match="was sent as gzip"):
        store.download(f"{web.base}/a", tmp_path / "a")


def test_redirects_stay_on_https(store: HttpsDatastore, web: Web, tmp_path: Path) -> None:
    web.status, web.headers = 302, {"Location": f"http://{web.base}/b"}
    with pytest.raises(DataError, match="not a plain https address"):
        store.download(f"{web.base}/a", tmp_path / "a")
    web.headers = {"Location": "/a"}
    with pytest.raises(DataError, match="more than 5 redirects"):
        store.download(f"{web.base}/a", tmp_path / "a")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "localhost"]
)
def test_private_machines_are_out_of_reach(tmp_path: Path, host: str, web: Web) -> None:
    strict = HttpsDatastore("https")
    with pytest.raises(DataError, match="not a public address"):
        strict.download(f"{host}/a", tmp_path / "a")
    assert web.asked == []


def test_a_stranger_is_not_trusted(store: HttpsDatastore, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DataError, match="certificate verify failed"):
        store.summary(f"{web.base}/a")
    assert web.asked == []


def test_nobody_answers(store: HttpsDatastore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match="cannot be read"):
            store.summary(f"127.0.0.1:{taken.getsockname()[1]}/a?sig=geheim")


def test_errors_hold_no_query(store: HttpsDatastore, web: Web, tmp_path: Path) -> None:
    web.status = 500
    with pytest.raises(DataError) as caught:
        store.download(f"{web.base}/a?sig=geheim", tmp_path / "a")
    assert "geheim" not in str(caught.value)


def test_a_named_server(web: Web, tmp_path: Path) -> None:
    config = {"type": "https", "url": f"https://{web.base}/base", "allow_private": True}
    named = HttpsDatastore.from_config("open", config, tmp_path)
    named.download("a b/c?d.csv", tmp_path / "c")
    assert web.asked == [("GET", "/base/a%20b/c%3Fd.csv", None)]
    with pytest.raises(DataError, match="could leave the datastore"):
        named.summary("../x")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"url": "http://x"}, "write https://<host>/<path>"),
        ({"url": 7}, "write https://<host>/<path>"),
        ({"max_bytes": "1"}, "max_bytes is '1'"),
        ({"allow_private": "no"}, "allow_private is 'no'"),
        ({"timeout": -1}, "timeout is -1"),
        ({"alow_private": True}, "Did you mean 'allow_private'?"),
    ],
)
def test_wrong_settings_are_named(config: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpsDatastore.from_config("open", {"type": "https", **config}, tmp_path)
    assert text in str(caught.value)


def test_it_only_reads(store: HttpsDatastore, tmp_path: Path) -> None:
    for write in (lambda: store.upload(tmp_path, "a"), lambda: store.remove("a")):
        with pytest.raises(DataError, match="only read"):
            write()
    verbs: list[Any] = [
        lambda: store.read("a"),
        lambda: store.create("a", b""),
        lambda: store.replace("a", b""),
        lambda: store.delete("a"),
        lambda: store.keys("a/"),
    ]
    for verb in verbs:
        with pytest.raises(StoreError, match="keeps no records"):
            verb()


@pytest.mark.parametrize("vouched", [True, False])
def test_a_url_becomes_a_dataset(web: Web, tmp_path: Path, vouched: bool) -> None:
    web.headers = {"ETag": '"one"'} if vouched else {}
    (tmp_path / "pipeline.yml").write_text(PIPELINE.replace("BASE", web.base))
    [step] = load_pipeline(tmp_path / "pipeline.yml").steps
    stores = {
        "workspaceblobstore": {"type": "local", "path": "store"},
        "https": {"type": "https", "allow_private": True},
    }
    workspace = workspace_from_mapping({"datastores": stores}, tmp_path)

    def run(run_id: str) -> StepRecord:
        done = begin(workspace, step, RunInfo("web", run_id, {}, {}, tmp_path), 0)
        assert isinstance(done, StepRecord)
        return done

    first, second = run("r1"), run("r2")
    assert (first.decision, first.registered) == ("ran", {"raw": "airports:1"})
    assert (second.decision, second.outputs) == ("reused", first.outputs)
    got = workspace.datastore().manifest(first.outputs["raw"].path)
    assert got is not None
    assert [(entry.path, entry.size) for entry in got.entries] == [("airports.csv", len(web.body))]
    web.body += b"more"
    web.headers = {"ETag": '"two"'} if vouched else {}
    assert run("r3").decision == "ran"
