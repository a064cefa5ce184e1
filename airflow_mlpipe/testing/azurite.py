"""A real Azurite, Microsoft's emulator of Azure Blob Storage, on loopback: for tests, the demo and benchmarks."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlpipe.datastores.azure_blob.settings import read_settings
from airflow_mlpipe.datastores.azure_blob.store import AzureBlobDatastore
from airflow_mlpipe.redaction import Secret

_PROGRAM = Path("node_modules", "azurite", "dist", "src", "blob", "main.js")
_HOME_VARIABLE = "MLPIPE_AZURITE"
_READY = re.compile(r"successfully listens on (https?)://[^:]+:(\d+)")
_PATIENCE = 60.0


class AzuriteServer:
    """An Azurite with an account of its own, a free port, and its data in a folder.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param folder: for its data, its log and its certificate; made when needed.
    :param https: with a certificate of its own, see :attr:`certificate`; needed for tokens.
    :param oauth: accept any token that looks like one of Azure's (``--oauth basic``).
    :param program: folder in which npm installed Azurite; by default ``$MLPIPE_AZURITE`` or ``.azurite``.
    :ivar account: name of the account.
    :ivar key: its key.
    """

    def __init__(self, folder: Path, *, https: bool = False, oauth: bool = False, program: Path | None = None) -> None:
        self.folder = folder
        self.account = f"mlpipe{secrets.token_hex(4)}"
        self.key = b64encode(secrets.token_bytes(32)).decode()
        self.certificate = folder / "certificate.pem" if https else None
        self._oauth = oauth
        self._program = program or Path(os.environ.get(_HOME_VARIABLE) or ".azurite")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> AzuriteServer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def account_url(self) -> str:
        """Address of the account."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self._port}/{self.account}"

    @property
    def connection_string(self) -> str:
        """The account's connection string."""
        protocol = self.account_url.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={protocol};AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.account_url};"
        )

    @property
    def pid(self) -> int:
        """Process id.

        :raises RuntimeError: if it is not running.
        """
        if self._process is None:
            raise RuntimeError("Azurite is not running.")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        :raises RuntimeError: if it is not installed, or does not come up; with what it said.
        """
        command = [*self._command(), "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(self.folder)]
        command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.certificate:
            key = write_certificate(self.certificate)
            command += ["--cert", str(self.certificate), "--key", str(key)]
        if self._oauth:
            command += ["--oauth", "basic"]
        log = self.folder / "azurite.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"},
            )
        self._await(log)

    def stop(self) -> None:
        """End it and wait until it is gone; nothing happens if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def settings(self, container: str, credential: Mapping[str, Any] | str, **more: Any) -> dict[str, Any]:
        """Return what ``workspace.yml`` would say of a datastore in this Azurite.

        :param credential: as in ``workspace.yml``.
        :param more: further settings.
        """
        place: dict[str, Any] = {"account_url": self.account_url, "retries": 1, **more}
        if isinstance(credential, Mapping) and "connection_string" in credential:
            del place["account_url"]
        if self.certificate:
            place["ca_bundle"] = str(self.certificate)
        return {"type": "azure_blob", "container": container, "credential": credential, **place}

    def datastore(self, name: str = "azurite", *, memo: Path | None = None, **more: Any) -> AzureBlobDatastore:
        """Return a datastore on a fresh container, reached with the account's key.

        :param memo: file of the digest memo, by default one for this server.
        :param more: further settings; ``container`` names one that is there.
        """
        settings = self.settings(more.pop("container", None) or self.make_container(), self.credential, **more)
        return AzureBlobDatastore(read_settings(name, settings, self.folder), memo or self.folder / "blobs.sqlite")

    @property
    def credential(self) -> dict[str, Secret]:
        """The account's key, as a setting."""
        return {"account_key": Secret(self.key)}

    def make_container(self, name: str | None = None) -> str:
        """Make an empty container and return its name."""
        from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - slow
        from azure.storage.blob import ContainerClient  # noqa: PLC0415

        name = name or f"c{secrets.token_hex(8)}"
        verify = str(self.certificate) if self.certificate else True
        credential = AzureNamedKeyCredential(self.account, self.key)
        options: dict[str, Any] = {"connection_verify": verify, "use_env_settings": False}
        with ContainerClient(self.account_url, name, credential=credential, **options) as client:
            client.create_container()
        return name

    def _command(self) -> list[str]:
        node, program = shutil.which("node"), self._program / _PROGRAM
        if node is None:
            raise RuntimeError("Azurite needs Node.js 20 or later, and there is no 'node' on the PATH. Install it.")
        if not program.is_file():
            raise RuntimeError(
                f"Azurite is not installed: there is no {program}. Run 'make azurite' in the checkout, or name the "
                f"folder in which 'npm install azurite' was run as ${_HOME_VARIABLE}."
            )
        return [node, str(program)]

    def _await(self, log: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            said = log.read_text(encoding="utf-8", errors="replace")
            ready = _READY.search(said)
            if ready:
                self._port = int(ready[2])
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Azurite did not come up. It said: {said[-2000:]}")
            time.sleep(0.05)


def write_certificate(place: Path) -> Path:
    """Write a certificate for 127.0.0.1 and localhost that signs itself; return the file of its key."""
    import datetime  # noqa: PLC0415 - only for https
    import ipaddress  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "mlpipe test")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    place.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_place = place.with_name("key.pem")
    key_place.touch(mode=0o600)
    key_place.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key_place
