"""Whether user name and password are right. Nothing here keeps a password, or tells which users there are."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Final

from exporter.webconfig.turns import Turns

_MOST_REFUSED: Final = 1024
_BCRYPT_BYTES: Final = 72
"""bcrypt looks at no more of a password."""


class Passwords:
    """Checks passwords against hashes, each once: what was checked is remembered as a keyed digest.

    The key is made anew for every process, so that the digests mean nothing outside of it.
    """

    def __init__(self, users: Mapping[str, bytes], turns: Turns) -> None:
        self._hashes = {name.encode(): hashed for name, hashed in users.items()}
        self._choices = sorted(self._hashes.values())
        self._turns = turns
        self._key = secrets.token_bytes(32)
        self._accepted: dict[bytes, bytes] = {}  # one digest for a user: nobody can push it out
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._going_on: dict[bytes, asyncio.Future[bool]] = {}

    async def accepts(self, authorization: str | None, *, client: str) -> bool:
        """Say whether an ``Authorization`` header lets its sender in; ``client`` is whose turn it takes.

        Raises:
            TooManyWaitError: too many passwords wait to be checked.
        """
        login = _parse(authorization)
        if login is None:
            return False
        user, password = login
        digest = self._digest(user, password)
        if hmac.compare_digest(self._accepted.get(user, b""), digest):
            return True
        if digest in self._refused:
            self._refused.move_to_end(digest)
            return False
        if (going_on := self._going_on.get(digest)) is not None:
            return await asyncio.shield(going_on)
        task = asyncio.create_task(self._check(user, password, digest, client), name="password")
        self._going_on[digest] = task
        task.add_done_callback(lambda _: self._going_on.pop(digest, None))
        return await task

    async def _check(self, user: bytes, password: bytes, digest: bytes, client: str) -> bool:
        # An unknown user costs what some known one costs, always the same one.
        known = self._hashes.get(user)
        hashed = known or self._choices[int.from_bytes(self._digest(user, b"")) % len(self._choices)]
        matches = await self._turns.take(client, partial(_matches, password, hashed))
        if matches and known is not None:
            self._accepted[user] = digest
            return True
        self._refused[digest] = None
        if len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)
        return False

    def _digest(self, user: bytes, password: bytes) -> bytes:
        return hmac.digest(self._key, len(user).to_bytes(8) + user + password, "sha256")


def _parse(authorization: str | None) -> tuple[bytes, bytes] | None:
    """Return user name and password, or ``None`` where there are none that could be read."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password[:_BCRYPT_BYTES]) if colon else None


def _matches(password: bytes, hashed: bytes) -> bool:
    import bcrypt  # noqa: PLC0415 - loaded only where there are passwords to check

    return bcrypt.checkpw(password, hashed)
