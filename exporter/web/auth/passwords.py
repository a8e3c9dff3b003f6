"""Checks user names and passwords. No password is kept, and no answer shows which users exist."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

from exporter.web.auth.fair_queue import FairQueue

_BCRYPT_BYTES: Final = 72
"""bcrypt uses no more bytes of a password."""


class Passwords:
    """Checks passwords against hashes. Accepted passwords are remembered as digests.

    Each process makes the digests with a new key, so they are useless outside of it.
    """

    def __init__(self, users: Mapping[str, bytes], queue: FairQueue) -> None:
        self._hashes = {name.encode(): hashed for name, hashed in users.items()}
        self._choices = sorted(self._hashes.values())
        self._queue = queue
        self._key = secrets.token_bytes(32)
        self._accepted: dict[bytes, bytes] = {}
        """One digest for each user, so that no client can displace it."""
        self._being_checked: dict[bytes, asyncio.Task[bool]] = {}

    async def accepts(self, authorization: str | None, *, client: str) -> bool:
        """Say whether an ``Authorization`` header is accepted; ``client`` identifies its sender in the queue.

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
        task = self._being_checked.get(digest)
        if task is None:
            task = asyncio.create_task(self._check(user, password, digest, client), name="password")
            self._being_checked[digest] = task
            task.add_done_callback(lambda _: self._being_checked.pop(digest))
        return await asyncio.shield(task)

    async def _check(self, user: bytes, password: bytes, digest: bytes, client: str) -> bool:
        # An unknown user takes as long as a known one: each unknown name is checked against the same hash.
        known = self._hashes.get(user)
        hashed = known or self._choices[int.from_bytes(self._digest(user, b"")) % len(self._choices)]
        matches = await self._queue.run(client, partial(_matches, password, hashed))
        if not matches or known is None:
            return False
        self._accepted[user] = digest
        return True

    def _digest(self, user: bytes, password: bytes) -> bytes:
        return hmac.digest(self._key, len(user).to_bytes(8) + user + password, "sha256")


def _parse(authorization: str | None) -> tuple[bytes, bytes] | None:
    """Return user name and password, or None if they are missing or unreadable."""
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
    import bcrypt  # noqa: PLC0415 - loaded only if there are passwords to check

    return bcrypt.checkpw(password, hashed)
