"""The credentials of one cluster: read when they are needed, remembered, and never shown."""

from __future__ import annotations

import aiohttp

from exporter.ontap.endpoint import BasicLogin, Login, TokenLogin
from exporter.ontap.errors import Unauthorized

SHORTEST_SECRET_CHARACTERS = 4
"""A shorter one is not looked for in what a cluster says: it would match anything."""


class Credentials:
    """What a login sends.

    Args:
        login: how to log in; None where a client certificate does, or nothing.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._header: str | None = None
        self._secrets: tuple[str, ...] = ()

    def header(self) -> str | None:
        """Return the value of the ``Authorization`` header, its secret read from its file once.

        Raises:
            Unauthorized: the secret cannot be read or cannot be sent.
        """
        if self._header is None and self._login is not None:
            try:
                self._header, secret = _header(self._login)
            except (OSError, ValueError) as exc:
                raise Unauthorized(f"the credentials cannot be used: {exc}") from exc
            sent = self._header.partition(" ")[2]
            known = (self._header, sent, sent.rstrip("="), secret)
            self._secrets = tuple(one for one in known if len(one) >= SHORTEST_SECRET_CHARACTERS)
        return self._header

    def forget(self) -> None:
        """Read the secret again before it is sent the next time."""
        self._header = None

    def changed(self) -> bool:
        """Read the secret again; say whether it differs from the one sent last, and use it from now on."""
        previous, self._header = self._header, None
        try:
            return self.header() != previous
        except Unauthorized:
            self._header = previous
            return False

    def conceal(self, text: str) -> str:
        """Return a text of the cluster's without the secrets that it may have echoed."""
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return text


def _header(login: BasicLogin | TokenLogin) -> tuple[str, str]:
    """Return the header's value and the secret in it.

    Raises:
        OSError: the secret's file cannot be read.
        ValueError: the file is not UTF-8, or the header could not carry the value.
    """
    if isinstance(login, BasicLogin):
        password = login.password.read()
        return aiohttp.encode_basic_auth(login.username, password), password
    token = login.credentials.read()
    if not token.isascii() or not token.isprintable():
        raise ValueError("the token holds characters that an HTTP header cannot carry")
    return f"{login.type} {token}", token
