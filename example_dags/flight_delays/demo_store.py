"""The demo on Azure Blob Storage: an Azurite as the workspace's default datastore."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import yaml

from airflow_mlpipe.testing.azurite import AzuriteServer
from airflow_mlpipe.testing.leaks import leaks

SECRET_VARIABLE = "MLPIPE_DEMO_BLOB_SECRET"
CREDENTIALS = ("account_key", "sas_token")
CONTAINER = "mlpipe"
_HOURS = 24


def use_azurite(workspace: Path, folder: Path, credential: str = "account_key") -> AzuriteServer:
    """Start Azurite, make it the default datastore of a workspace file, and put its secret into a variable.

    :param workspace: the ``workspace.yml`` to change.
    :param folder: for Azurite's data.
    :param credential: one of :data:`CREDENTIALS`.
    :returns: the server, to be stopped.
    """
    server = AzuriteServer(folder)
    server.start()
    try:
        server.make_container(CONTAINER)
        settings = yaml.safe_load(workspace.read_text(encoding="utf-8"))
        blob = server.settings(CONTAINER, {credential: {"env": SECRET_VARIABLE}}, retries=5)
        settings["datastores"][settings["default_datastore"]] = blob
        workspace.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        os.environ[SECRET_VARIABLE] = server.key if credential == "account_key" else _sas(server)
    except BaseException:
        server.stop()
        raise
    return server


def secret_faults(server: AzuriteServer, root: Path) -> list[str]:
    """Look for the account's key, the SAS token and anything alike in every file of the demo.

    :returns: where something was found, in sentences.
    """
    secret = os.environ[SECRET_VARIABLE]
    signature = secret.partition("sig=")[2].partition("&")[0]
    return leaks(root, [server.key, secret, *([signature] if signature else [])])


def _sas(server: AzuriteServer) -> str:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas  # noqa: PLC0415 - slow

    allowed = ContainerSasPermissions(read=True, add=True, create=True, write=True, delete=True, list=True)
    until = datetime.now(timezone.utc) + timedelta(hours=_HOURS)
    return generate_container_sas(server.account, CONTAINER, account_key=server.key, permission=allowed, expiry=until)
