"""What clients do wrong is answered, and fills no log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.daemon import program

CONFIG = 'clusters: [{address: "127.0.0.1:1", basic_auth: {username: u, password: p}, name: c1}]\n'
NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS handshake\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    b"POST /-/reload HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
    b"\r\n\r\n\0\0\0\0\r\n\r\n",
)


async def answer_to(url: str, sent: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(20):
        answer = await reader.read(64)
    writer.close()
    return answer


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_what_is_no_http_is_answered_with_400_and_not_logged(level: str, tmp_path: Path) -> None:
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
