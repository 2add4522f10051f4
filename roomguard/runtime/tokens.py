"""Bearer tokens: compared as SHA-256 digests in constant time, several live at once so that they can be rotated."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

_PREFIX = "sha256:"
_DIGEST_HEX = 64


class Tokens:
    """The tokens that open a connection. Each is given plain or as `sha256:HEX` of it; raises ValueError on neither."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = tuple(_digest(token) for token in tokens)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, authorization: str | None) -> bool:
        """Whether this `Authorization` header opens a connection. Without any token everybody may come in."""
        if not self._digests:
            return True
        if authorization is None:
            return False
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return False
        offered = hashlib.sha256(token.strip().encode()).digest()
        # All are compared, so that the time does not tell which one came near.
        return sum([hmac.compare_digest(offered, digest) for digest in self._digests]) > 0


def _digest(token: str) -> bytes:
    if not token.startswith(_PREFIX):
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("a token is printable ASCII without spaces, and not empty")
        return hashlib.sha256(token.encode()).digest()
    digits = token.removeprefix(_PREFIX)
    if len(digits) != _DIGEST_HEX:
        raise ValueError("sha256: is followed by 64 hexadecimal digits")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError("sha256: is followed by 64 hexadecimal digits") from None
