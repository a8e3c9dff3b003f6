"""A token endpoint for OAuth 2.0's grant for client credentials, over TLS on loopback."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import BasicAuth, web


@dataclass(slots=True, kw_only=True)
class TokenRequest:
    """One request for a token."""

    parameters: dict[str, str]
    client: tuple[str, str] | None
    """Name and secret in the ``Authorization`` header."""


@dataclass(slots=True, kw_only=True)
class TokenEndpoint:
    """Gives ``token-1``, ``token-2`` and so on.

    Attributes:
        url: of the endpoint.
        ca_file: trusts it.
        requests: all that have come.
        lifetime_seconds: of each token; None: it says nothing of it.
        wants_secret_in_body: whether a secret in a header is refused.
        answer: status and body instead of a token.
        headers: of that answer.
    """

    url: str = ""
    ca_file: Path
    requests: list[TokenRequest] = field(default_factory=list)
    lifetime_seconds: int | None = 3600
    wants_secret_in_body: bool = False
    answer: tuple[int, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    _given: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        parameters = {name: str(value) for name, value in (await request.post()).items()}
        header = request.headers.get("Authorization")
        login = None if header is None else BasicAuth.decode(header)
        client = None if login is None else (login.login, login.password)
        self.requests.append(TokenRequest(parameters=parameters, client=client))
        if self.answer is not None:
            status, body = self.answer
            return web.Response(
                status=status, text=body, content_type="application/json", headers=self.headers
            )
        if self.wants_secret_in_body and "client_secret" not in parameters:
            return web.json_response({"error": "invalid_client"}, status=401)
        self._given += 1
        token: dict[str, object] = {"access_token": f"token-{self._given}", "token_type": "bearer"}
        if self.lifetime_seconds is not None:
            token["expires_in"] = self.lifetime_seconds
        return web.json_response(token)


@asynccontextmanager
async def token_endpoint(directory: Path) -> AsyncIterator[TokenEndpoint]:
    """Run an endpoint on loopback for as long as the context lasts."""
    authority = trustme.CA()
    ca_file = directory / "token-ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    endpoint = TokenEndpoint(ca_file=ca_file)
    app = web.Application()
    app.router.add_post("/token", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        endpoint.url = f"https://127.0.0.1:{runner.addresses[0][1]}/token"
        yield endpoint
    finally:
        await runner.cleanup()
