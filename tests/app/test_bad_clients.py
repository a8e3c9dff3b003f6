"""Bad requests of clients are answered, and do not fill the log."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import resource
import socket
from pathlib import Path

import pytest

from support.client_connections import connected
from support.daemon_process import program

CONFIG = 'clusters: [{address: "127.0.0.1:1", basic_auth: {username: u, password: p}, name: c1}]\n'
NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS handshake\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    b"POST /-/reload HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
    b"\r\n\r\n\0\0\0\0\r\n\r\n",
)


SECRET = base64.b64encode(b"prometheus:a-password-of-ours")
LOGIN = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + SECRET
WITH_SECRET = (
    LOGIN + b"\r\nBad Header: x\r\n\r\n",
    LOGIN + b"\x01\r\n\r\n",
    LOGIN.replace(b"Basic ", b"Basic\n") + b"\r\n\r\n",
    LOGIN.replace(b"Authorization:", b"Authorization :") + b"\r\n\r\n",
    LOGIN + b"A" * 30_000 + b"\r\n\r\n",
    b"GET http://prometheus:" + SECRET + b"@[::1/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
)
BROKEN_BODIES = (
    (403, b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
    (403, b"Content-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
    (403, b"Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\nabcd"),
    (400, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
)


async def answer_to(url: str, sent: bytes) -> bytes:
    """Return everything until the other side closes the connection, or resets it: it has not read all."""
    host, port = url.removeprefix("http://").split(":")
    answer = b""
    async with connected(host, int(port)) as (reader, writer), asyncio.timeout(60):
        writer.write(sent)
        with contextlib.suppress(ConnectionResetError):
            while part := await reader.read(65536):
                answer += part
    return answer


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_a_request_that_is_not_http_is_answered_with_400_and_not_logged(
    level: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0", f"--log.level={level}")
    async with program("run", *flags) as daemon:
        await daemon.until_ready()
        for nonsense in NONSENSE:
            assert b" 400 " in await answer_to(daemon.url, nonsense)
        assert (await daemon.get("/-/healthy"))[0] == 200
        assert await daemon.stop() == 0
        assert "Traceback" not in daemon.output
        assert "level=error" not in daemon.output


async def test_a_secret_that_a_client_sends_by_mistake_is_neither_logged_nor_repeated(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0", "--log.level=debug")
    async with program("run", *flags) as daemon:
        for request in WITH_SECRET:
            head, _, body = (await answer_to(daemon.url, request)).partition(b"\r\n\r\n")
            assert b" 400 " in head
            assert body == b"Bad Request\n"
        assert await daemon.stop() == 0
        assert SECRET.decode() not in daemon.output


async def test_broken_bodies_are_answered_and_not_logged(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0", "--log.level=debug")
    async with program("run", *flags) as daemon:
        for status, body in BROKEN_BODIES:
            request = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + body
            # The server waits for a body that is shorter than announced; its answer comes before that.
            host, port = daemon.url.removeprefix("http://").split(":")
            async with connected(host, int(port)) as (reader, writer), asyncio.timeout(60):
                writer.write(request)
                assert f" {status} ".encode() in await reader.readline()
        assert await daemon.stop() == 0
        assert "Traceback" not in daemon.output
        assert "level=error" not in daemon.output


async def test_more_silent_connections_than_there_are_files_keep_nobody_out(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
    async with program("run", *flags) as daemon:
        await daemon.until_ready()
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (100, 100))
        host, port = daemon.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as silent:
            for _ in range(300):
                silent.enter_context(socket.create_connection((host, int(port)), timeout=30))
            async with asyncio.timeout(60):
                assert (await daemon.get("/-/healthy"))[0] == 200
                assert 0 < await daemon.value("process_open_fds") < 60
        assert await daemon.stop() == 0
        logged = [line for line in daemon.lines if "too many connections of clients" in line]
        assert len(logged) == 1
        assert "most=25" in logged[0]
        assert "Traceback" not in daemon.output
