"""A change of any file is applied without a restart, loses no request, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
import trustme

from exporter.config import ConfigError
from exporter.web.auth import load_web_config
from support.client_connections import close
from support.guarded import (
    CHECK_SECONDS,
    HOUR,
    TLS,
    WAIT_SECONDS,
    Certificates,
    Guarded,
    basic,
    guarded,
    hashed,
    write,
)
from support.waiting import eventually

REQUIRED = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\n"
ALICE = ("alice", "right")


def users(password: str) -> str:
    return f"basic_auth_users:\n  alice: {hashed(password)}\n"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    found = Certificates(tmp_path)
    write(tmp_path / "clients.pem", found.authority.cert_pem.bytes())
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yaml"


async def until_status(
    server: Guarded, status: int, context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> None:
    async def answered() -> bool:
        return await server.status(context=context, login=login) == status

    await eventually(answered, seconds=WAIT_SECONDS, what=f"an answer with {status}")


async def test_a_change_behind_the_first_mebibyte_of_a_file_is_noticed(
    file: Path, certificates: Certificates
) -> None:
    authorities = certificates.authority.cert_pem.bytes()
    write(file.parent / "clients.pem", b"# a comment\n" * 100_000 + authorities)
    write(file, REQUIRED)
    async with guarded(file) as server:
        assert await server.protection.reload() is None
        before = server.protection.config
        write(file.parent / "clients.pem", b"# a comment\n" * 100_000 + trustme.CA().cert_pem.bytes())
        assert await server.protection.reload() is None
        assert server.protection.config != before


class Handshake:
    """A client's side of TLS, a step at a time."""

    def __init__(self, connection: socket.socket, certificates: Certificates) -> None:
        self._connection = connection
        connection.settimeout(WAIT_SECONDS)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certificates.client().wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()

    async def send(self, *, most: int) -> None:
        """Send the first bytes."""
        await asyncio.to_thread(self._connection.sendall, self._outgoing.read(most))

    def finish_and_ask(self) -> bytes:
        """Return the answer; nothing if there was none."""
        try:
            self._step(self._tls.do_handshake)
            self._tls.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            answer: bytes = self._step(self._tls.read)
        except (OSError, ssl.SSLError):
            return b""
        return answer

    def _step(self, do: Callable[[], Any]) -> Any:
        while True:
            self._connection.sendall(self._outgoing.read())
            try:
                result = do()
            except ssl.SSLWantReadError:
                self._connection.sendall(self._outgoing.read())
                received = self._connection.recv(65536)
                if not received:
                    raise ConnectionResetError from None
                self._incoming.write(received)
            else:
                self._connection.sendall(self._outgoing.read())
                return result


async def until_line(lines: list[structlog.typing.EventDict], event: str, *, why: str = "") -> None:
    async def written() -> bool:
        return any(line["event"] == event and line.get("why", "").startswith(why) for line in lines)

    await eventually(written, seconds=WAIT_SECONDS, what=f"the line {event}")


async def test_a_new_password_is_accepted_and_the_old_one_is_not(file: Path) -> None:
    async with guarded(write(file, users("right"))) as server:
        assert await server.status(login=ALICE) == 200
        write(file, users("new"))
        await until_status(server, 200, login=("alice", "new"))
        assert await server.status(login=ALICE) == 401


async def test_an_open_connection_has_to_give_the_new_password(file: Path) -> None:
    async with guarded(write(file, users("right"))) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/-/healthy"
        async with session.get(url, headers={"Authorization": basic(*ALICE)}) as response:
            assert response.status == 200
        write(file, users("new"))
        await until_status(server, 200, login=("alice", "new"))
        async with session.get(url, headers={"Authorization": basic(*ALICE)}) as response:
            assert response.status == 401


async def test_a_new_certificate_is_shown(file: Path, certificates: Certificates) -> None:
    async with guarded(write(file, TLS)) as server:
        context = certificates.client()
        before = await server.serial_number(context)
        certificates.issue_server()

        async def renewed() -> bool:
            return await server.serial_number(context) != before

        await eventually(renewed, seconds=WAIT_SECONDS, what="the new certificate")


async def test_an_open_connection_lasts_until_the_certificate_changes_and_then_for_one_answer(
    file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, TLS)) as server:
        before = server.protection.config.context
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=certificates.client())

        async def ask() -> bytes:
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"\n")
            return head

        for _ in range(2):
            assert b"Connection: close" not in await ask()
        certificates.issue_server()

        async def switched() -> bool:
            return server.protection.config.context is not before

        await eventually(switched, seconds=WAIT_SECONDS, what="the new certificate")
        assert b"Connection: close" in await ask()
        async with asyncio.timeout(WAIT_SECONDS):
            assert await reader.read() == b""
        await close(writer)


async def test_other_authorities_of_clients_are_applied_and_open_connections_end(
    file: Path, certificates: Certificates
) -> None:
    new_authority = trustme.CA()
    old = certificates.client("prometheus.example")
    new = certificates.client("prometheus.example", signed_by=new_authority)
    async with guarded(write(file, REQUIRED)) as server:
        assert [await server.status(context=old), await server.status(context=new)] == [200, 0]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=old)
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        write(file.parent / "clients.pem", new_authority.cert_pem.bytes())
        await until_status(server, 200, context=new)
        assert await server.status(context=old) == 0
        async with asyncio.timeout(WAIT_SECONDS):
            assert b"HTTP/1.1" not in await reader.read()
        await close(writer)


async def test_certificates_of_clients_can_be_asked_for_later(file: Path, certificates: Certificates) -> None:
    async with guarded(write(file, TLS)) as server:
        assert await server.status(context=certificates.client()) == 200
        write(file, REQUIRED)
        await until_status(server, 0, context=certificates.client())
        assert await server.status(context=certificates.client("prometheus.example")) == 200


async def test_who_connected_before_certificates_were_asked_for_has_to_show_one(
    file: Path, certificates: Certificates
) -> None:
    """Whether the handshake begins after the change or, with half of its first message, before it."""
    async with guarded(write(file, TLS)) as server:
        silent, begun = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        with silent, begun:
            handshakes = [Handshake(silent, certificates), Handshake(begun, certificates)]
            await handshakes[1].send(most=100)
            assert await server.status(context=certificates.client()) == 200
            write(file, REQUIRED)
            await until_status(server, 0, context=certificates.client())
            for handshake in handshakes:
                assert b"200 OK" not in await asyncio.to_thread(handshake.finish_and_ask)
        assert await server.status(context=certificates.client("prometheus.example")) == 200


async def test_a_higher_version_can_be_asked_for_later(file: Path, certificates: Certificates) -> None:
    old = certificates.client(maximum=ssl.TLSVersion.TLSv1_2)
    async with guarded(write(file, TLS)) as server:
        assert await server.status(context=old) == 200
        write(file, TLS + "  min_version: TLS13\n")
        await until_status(server, 0, context=old)
        assert await server.status(context=certificates.client()) == 200


async def test_tls_can_be_switched_on_and_off(file: Path, certificates: Certificates) -> None:
    async with guarded(write(file, "{}\n")) as server:
        assert await server.status() == 200
        write(file, TLS)
        await until_status(server, 200, context=certificates.client())
        assert await server.status() == 0
        write(file, "{}\n")
        await until_status(server, 200)
        assert await server.status(context=certificates.client()) == 0


async def test_changes_lose_no_request(file: Path, certificates: Certificates) -> None:
    """Clients with a new connection for each request and with one for all, while everything is renewed."""
    context = certificates.client("prometheus.example")
    answers: list[int] = []
    over = asyncio.Event()

    async def ask(server: Guarded, connector: aiohttp.TCPConnector) -> None:
        url = f"https://127.0.0.1:{server.port}/-/healthy"
        async with aiohttp.ClientSession(connector=connector) as session:
            while not over.is_set():
                async with session.get(url, headers={"Authorization": basic(*ALICE)}) as response:
                    await response.read()
                    answers.append(response.status)

    async with guarded(write(file, REQUIRED + users("right"))) as server, asyncio.TaskGroup() as group:
        for force_close in (True, True, True, False, False):
            connector = aiohttp.TCPConnector(ssl=context, force_close=force_close)
            group.create_task(ask(server, connector))
        for number in range(10):
            seen = server.protection.config.context
            certificates.issue_server()
            if number % 3 == 1:
                extra = trustme.CA().cert_pem.bytes() + certificates.authority.cert_pem.bytes()
                write(file.parent / "clients.pem", extra)

            async def switched(before: ssl.SSLContext | None = seen) -> bool:
                return server.protection.config.context is not before

            await eventually(switched, seconds=WAIT_SECONDS, what="the new certificate")
            count = len(answers)

            async def answered(count: int = count) -> bool:
                return len(answers) >= count + 20

            await eventually(answered, seconds=WAIT_SECONDS, what="more answers")
        over.set()
    assert set(answers) == {200}


@pytest.mark.parametrize("broken", ["", "basic_auth_users:\n  alice: made-up\n", "{"])
async def test_a_bad_new_version_changes_nothing_and_is_logged_once(broken: str, file: Path) -> None:
    async with guarded(write(file, users("right"))) as server:
        with structlog.testing.capture_logs() as lines:
            write(file, broken)
            await until_line(lines, "new web configuration cannot be used, the last good one stays applied")
            logged = len(lines)
            for _ in range(10):
                await asyncio.sleep(CHECK_SECONDS)
                assert [await server.status(), await server.status(login=ALICE)] == [401, 200]
            assert len(lines) == logged
            assert "made-up" not in str(lines)
            write(file, users("right"))
            await until_line(lines, "web configuration applied")
        assert await server.status(login=ALICE) == 200


async def test_a_certificate_without_its_key_is_not_taken_until_the_key_is_there(
    file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, TLS)) as server:
        context = certificates.client()
        before = await server.serial_number(context)
        leaf = certificates.authority.issue_cert("127.0.0.1")
        with structlog.testing.capture_logs() as lines:
            write(file.parent / "server.crt", leaf.cert_chain_pems[0].bytes())
            await until_line(lines, "mistake in the web configuration")
            assert [line["why"] for line in lines if line["event"] == "mistake in the web configuration"] == [
                f"the private key does not belong to the certificate: {file.parent / 'server.crt'}"
            ]
            assert await server.serial_number(context) == before
            write(file.parent / "server.key", leaf.private_key_pem.bytes())
            await until_line(lines, "web configuration applied")
        assert await server.serial_number(context) != before


async def test_a_file_that_was_missing_is_taken_as_soon_as_it_is_there(
    file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, "{}\n")) as server:
        with structlog.testing.capture_logs() as lines:
            write(file, TLS.replace("server.crt", "later.crt"))
            await until_line(lines, "mistake in the web configuration")
            write(file.parent / "later.crt", (file.parent / "server.crt").read_bytes())
            await until_status(server, 200, context=certificates.client())


async def test_reloading_applies_a_change_and_returns_the_mistakes(file: Path) -> None:
    async with guarded(write(file, users("right"))) as server:
        write(file, users("new"))
        assert await server.protection.reload() is None
        assert await server.status(login=("alice", "new")) == 200
        write(file, "basic_auth_users: alice\n")
        error = await server.protection.reload()
        assert isinstance(error, ConfigError)
        assert str(error) == f"{file}:1: basic_auth_users: a mapping is expected, not text"
        assert await server.status(login=("alice", "new")) == 200


INVALID = [
    ({"valid_from": -2 * HOUR, "valid_to": -HOUR}, "the certificate has expired, it was valid until "),
    ({"valid_from": HOUR, "valid_to": 2 * HOUR}, "the certificate is not valid yet, but from "),
]


@pytest.mark.parametrize(("dates", "why"), INVALID)
@pytest.mark.parametrize("text", [TLS, REQUIRED, TLS + "  max_version: TLS12\n"])
async def test_a_certificate_that_is_not_valid_now_is_not_shown(
    text: str, dates: dict[str, timedelta], why: str, file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, text)) as server:
        context = certificates.client("a.example")
        before = await server.serial_number(context)
        with structlog.testing.capture_logs() as lines:
            certificates.issue_server(**dates)
            # Certificate and key are two files: between them, the scan may find another mistake first.
            await until_line(lines, "mistake in the web configuration", why=why)
        error = await server.protection.reload()
        assert error is not None
        assert why in str(error)
        assert await server.serial_number(context) == before
        with structlog.testing.capture_logs() as lines:
            certificates.issue_server()
            await until_line(lines, "web configuration applied")
        assert await server.serial_number(context) != before


async def test_a_reload_does_not_fail_because_the_applied_certificate_has_expired_meanwhile(
    file: Path, certificates: Certificates
) -> None:
    certificates.issue_server(valid_to=timedelta(seconds=3))
    async with guarded(write(file, TLS)) as server:
        with structlog.testing.capture_logs():
            assert await server.protection.reload() is None

            async def is_refused() -> bool:
                try:
                    await asyncio.to_thread(load_web_config, file, environ={})
                except ConfigError:
                    return True
                return False

            await eventually(is_refused, seconds=WAIT_SECONDS, what="the certificate to expire")
            assert await server.protection.reload() is None
