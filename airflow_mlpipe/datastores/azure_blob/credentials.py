"""Our settings as credentials of the Azure SDK."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from airflow_mlpipe.datastores.azure_blob.settings import BlobSettings, checked_url
from airflow_mlpipe.errors import ConfigError

_PART = re.compile(r"\s*([A-Za-z]+)\s*=(.*)")


def open_account(settings: BlobSettings) -> tuple[str, Any]:
    """Return the address of the account without any secret, and a credential of the SDK.

    :raises ConfigError: if the secret cannot be one of its kind.
    """
    credential = settings.credential
    if credential.kind == "connection_string":
        return _from_connection_string(settings)
    if credential.kind == "account_key":
        return settings.account_url, _key(settings, _account_name(settings.account_url), _reveal(settings))
    if credential.kind == "sas_token":
        return settings.account_url, _sas(_reveal(settings))
    return settings.account_url, _identity(settings)


def secrets_of(settings: BlobSettings) -> list[str]:
    """Return every text that must not be seen, parts of a secret included."""
    if settings.credential.secret is None:
        return []
    text = settings.credential.secret.reveal()
    parts = _parts(text) if settings.credential.kind == "connection_string" else {}
    found = [text, parts.get("accountkey", ""), parts.get("sharedaccesssignature", "")]
    for token in (text, found[-1]):
        found += re.findall(r"sig=([^&;\s]+)", token)
    return [secret for secret in found if secret]


def _from_connection_string(settings: BlobSettings) -> tuple[str, Any]:
    parts = _parts(_reveal(settings))
    account = parts.get("accountname", "")
    endpoint = parts.get("blobendpoint", "").rstrip("/")
    if not endpoint and account:
        scheme, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
        endpoint = f"{scheme}://{account}.blob.{suffix}"
    if endpoint:
        endpoint = checked_url(settings.name, endpoint)
    if endpoint and account and "accountkey" in parts:
        return endpoint, _key(settings, account, parts["accountkey"])
    if endpoint and "sharedaccesssignature" in parts:
        return endpoint, _sas(parts["sharedaccesssignature"])
    raise ConfigError(
        f"Datastore {settings.name!r}: the connection string needs AccountName and AccountKey, or BlobEndpoint and "
        f"SharedAccessSignature. Copy it from the access keys of the storage account."
    )


def _parts(text: str) -> dict[str, str]:
    matches = (_PART.fullmatch(part) for part in text.strip().split(";"))
    return {match[1].lower(): match[2].strip() for match in matches if match}


def _key(settings: BlobSettings, account: str, key: str) -> Any:
    import base64  # noqa: PLC0415 - with the rest of what a key needs
    import binascii  # noqa: PLC0415

    from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415 - slow

    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(
            f"Datastore {settings.name!r}: the account key is not base64. Copy it whole from the storage account."
        ) from None
    return AzureNamedKeyCredential(account, key)


def _sas(token: str) -> Any:
    from azure.core.credentials import AzureSasCredential  # noqa: PLC0415 - slow

    return AzureSasCredential(token.lstrip("?"))


def _identity(settings: BlobSettings) -> Any:
    import azure.identity as identity  # noqa: PLC0415 - slow

    values = dict(settings.credential.values)
    if settings.credential.kind == "managed_identity":
        return identity.ManagedIdentityCredential(client_id=values.get("client_id"))
    try:
        if settings.credential.kind == "workload_identity":
            return identity.WorkloadIdentityCredential(**values)
        if settings.credential.kind == "client_secret":
            return identity.ClientSecretCredential(values["tenant_id"], values["client_id"], _reveal(settings))
    except ValueError as error:
        raise ConfigError(f"Datastore {settings.name!r}: {settings.credential.kind}: {error}") from None
    options = {
        "managed_identity_client_id": values.get("client_id"),
        "workload_identity_client_id": values.get("client_id"),
    }
    options["workload_identity_tenant_id"] = values.get("tenant_id")
    chosen = {key: text for key, text in options.items() if text}
    return identity.DefaultAzureCredential(exclude_interactive_browser_credential=True, **chosen)


def _account_name(url: str) -> str:
    """Return the account of an address: its first label, or the path for an emulator."""
    parts = urlsplit(url)
    return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]


def _reveal(settings: BlobSettings) -> str:
    assert settings.credential.secret is not None
    return settings.credential.secret.reveal()
