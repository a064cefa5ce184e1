"""Tokens that look like those of Microsoft Entra, for an Azurite that was started with ``oauth=True``."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

_TENANT = "ab1f708d-50f6-404c-a006-d71b2ac7a606"
_LIFE = 3600


class FakeCredential:
    """A credential of the shape that azure-identity's classes have.

    Azurite looks at audience, issuer and times of a token, not at its signature.

    :ivar tokens: every token that was given out.
    """

    def __init__(self, **_options: Any) -> None:
        self.tokens: list[str] = []

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        """Return a fresh token."""
        from azure.core.credentials import AccessToken  # noqa: PLC0415 - slow

        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": f"https://sts.windows.net/{_TENANT}/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + _LIFE,
            "tid": _TENANT,
            "jti": str(time.time_ns()),
        }
        token = ".".join((_encode({"typ": "JWT", "alg": "RS256"}), _encode(claims), "c2lnbmF0dXJl"))
        self.tokens.append(token)
        return AccessToken(token, now + _LIFE)


def _encode(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
