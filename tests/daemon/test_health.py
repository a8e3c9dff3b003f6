"""The health check of a container finds the daemon wherever it listens."""

from __future__ import annotations

import asyncio
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
import trustme

from exporter.commands import health
from support.daemon_process import FOR_CLIENTS_WITH_CERTIFICATE, program

CONFIG = 'clusters: [{address: "127.0.0.1:9", basic_auth: {username: u, password: p}}]\n'


def free_port() -> int:
    with socket.create_server(("", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "form",
    [
        ["{flag}=:{port}"],
        ["{flag}", "127.0.0.2:{port}"],
        ["{flag}=[::1]:{port}", "--web.external-url=https://x.example/a"],
    ],
)
async def test_the_command_line_of_the_daemon_says_where_it_is_healthy(
    form: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    listen = [part.format(flag="--web.listen-address", port=free_port()) for part in form]
    async with program("run", f"--config.file={config}", *listen) as daemon:
        command_line = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        urls = health.urls_of(command_line)
        assert await asyncio.to_thread(health.ask, urls) is None
        await daemon.stop()
    assert await asyncio.to_thread(health.ask, urls) is not None


async def test_a_daemon_that_answers_to_another_name_alone_works(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    flags = ("--web.external-url=https://x.example.com/", f"--web.listen-address=127.0.0.1:{free_port()}")
    async with program("run", f"--config.file={config}", *flags) as daemon:
        other_name = daemon.url.replace("127.0.0.1", "127.1")  # which is no address in a URL
        assert await asyncio.to_thread(health.ask, [other_name]) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_localhost_is_each_address_of_loopback(host: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    port = free_port()
    async with program("run", f"--config.file={config}", f"--web.listen-address={host}:{port}"):
        assert await asyncio.to_thread(health.ask, [f"http://localhost:{port}"]) is None


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
async def test_a_daemon_that_requires_a_client_s_certificate_is_healthy_without_one(
    version: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (tmp_path / "server.pem").chmod(0o600)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "web.yaml").write_text(f"{FOR_CLIENTS_WITH_CERTIFICATE}  max_version: {version}\n")
    files = (f"--config.file={tmp_path}/config.yaml", f"--web.config.file={tmp_path}/web.yaml")
    async with program("run", *files, f"--web.listen-address=127.0.0.1:{free_port()}") as daemon:
        urls = health.urls_of(Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes())
        ask = partial(health.ask, is_closing_enough=True)
        assert await asyncio.to_thread(ask, urls) is None
        assert await asyncio.to_thread(health.ask, urls) is not None
        # It would not be if it hung: the kernel still accepts connections then.
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            assert await asyncio.to_thread(ask, urls[1:]) is not None
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        await daemon.stop()
        assert await asyncio.to_thread(ask, urls) is not None


@pytest.mark.parametrize("url", ["http://[::1]", "https://[::1]", "http://[fe80::abcd]"])
def test_an_address_without_a_port_is_an_address(url: str) -> None:
    assert str(health.ask([url])).startswith(f"{url} does not answer: ")


@pytest.mark.parametrize(
    ("arguments", "urls"),
    [
        ([], ["http://localhost:10910", "https://localhost:10910"]),
        (
            ["demo", "--web.listen-address=:1", "--web.listen-address", "0.0.0.0:2"],
            ["http://localhost:1", "https://localhost:1", "http://127.0.0.1:2", "https://127.0.0.1:2"],
        ),
        (["run", "--web.listen-address=[::]:3"], ["http://[::1]:3", "https://[::1]:3"]),
        (
            ["run", "--web.external-url=https://x.example/a/"],
            ["http://localhost:10910/a", "https://localhost:10910/a"],
        ),
        (
            ["run", "--web.external-url=https://x.example/a/", "--web.route-prefix", "/"],
            ["http://localhost:10910", "https://localhost:10910"],
        ),
        (
            ["run", "--web.external-url=", "--log.level=debug"],
            ["http://localhost:10910", "https://localhost:10910"],
        ),
        (
            ["run", "--web.external-url=https://x.example/a/", "--web.route-prefix=", "--log.level=debug"],
            ["http://localhost:10910/a", "https://localhost:10910/a"],
        ),
    ],
)
def test_an_address_that_means_everywhere_is_asked_on_loopback(arguments: list[str], urls: list[str]) -> None:
    assert list(health.urls_of("\0".join(["/bin/ontap-packages-exporter", *arguments, ""]).encode())) == urls
