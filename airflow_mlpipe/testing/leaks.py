"""Looking for secrets where none may be: as they are, URL-encoded, in base64, and inside a longer text in base64."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

_SHORTEST = 9
_CREDENTIALS = {
    "a SAS signature": re.compile(rb"sig(?:=|%3[Dd])[A-Za-z0-9%+/]{30,}"),
    "a signed request": re.compile(rb"SharedKey(?:Lite)? [a-z0-9]{3,24}:[A-Za-z0-9+/]{30,}"),
    "a connection string": re.compile(rb"AccountKey=[A-Za-z0-9+/]{30,}"),
}
"""What a credential of Azure Storage looks like, whoever's it is."""


def forms(secret: str) -> set[str]:
    """Return the texts in which a secret can show, but for those that are too short to mean anything."""
    raw = secret.encode()
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), unquote(secret)}
    encoded = {b64encode(raw).decode().rstrip("="), urlsafe_b64encode(raw).decode().rstrip("=")}
    # Within a longer text that is encoded as a whole, base64 depends on what stands before.
    shifted = {b64encode(b"x" * shift + raw).decode()[4:-4] for shift in (1, 2)}
    return {form for form in plain | encoded | shifted if len(form) >= _SHORTEST}


def leaks(root: Path, secrets: Iterable[str]) -> list[str]:
    """Look through every file below a folder, and through its name.

    :param secrets: what must be nowhere.
    :returns: what was found where, as sentences that do not repeat it.
    """
    needles = {form.encode() for secret in secrets for form in forms(secret)}
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        text = path.read_bytes() + b"\n" + str(path.relative_to(root)).encode("utf-8", "surrogateescape")
        kinds = [kind for kind, pattern in _CREDENTIALS.items() if pattern.search(text)]
        kinds += ["a secret"] if any(needle in text for needle in needles) else []
        found += [f"There is {kind} in {path}." for kind in kinds]
    return found
