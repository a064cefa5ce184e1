"""The demo on Azure Blob Storage: an Azurite as the workspace's default datastore."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import yaml

from airflow_mlpipe.testing.azurite import AzuriteServer

KEY_VARIABLE = "MLPIPE_DEMO_BLOB_KEY"
CONTAINER = "mlpipe"
_LONGEST = 200 << 20


def use_azurite(workspace: Path, folder: Path) -> AzuriteServer:
    """Start Azurite, make it the default datastore of a workspace file, and give its key to this process by variable.

    :param workspace: the ``workspace.yml`` to change.
    :param folder: for Azurite's data.
    :returns: the server, to be stopped.
    """
    server = AzuriteServer(folder)
    server.start()
    try:
        server.make_container(CONTAINER)
        settings = yaml.safe_load(workspace.read_text(encoding="utf-8"))
        blob = server.settings(CONTAINER, {"account_key": {"env": KEY_VARIABLE}}, retries=5)
        settings["datastores"][settings["default_datastore"]] = blob
        workspace.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    except BaseException:
        server.stop()
        raise
    os.environ[KEY_VARIABLE] = server.key
    return server


def key_faults(server: AzuriteServer, root: Path) -> list[str]:
    """Look for the account's key in every file of the demo, as it is, URL-encoded and in base64.

    :returns: where it was found, in sentences.
    """
    key = server.key.encode()
    forms = {key, quote(server.key, safe="").encode(), b64encode(key).rstrip(b"=")}
    return [
        f"The account key is in {path}."
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.stat().st_size < _LONGEST and any(form in path.read_bytes() for form in forms)
    ]
