"""The flag, the command and the health check, as an operator meets them: the real program."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from exporter.commands import health
from exporter.simulator.exporter_configuration import write_secret
from support.daemon_process import Daemon, program
from support.guarded import HOUR, TLS, Certificates, basic, guarded, hashed, write

LISTEN = "--web.listen-address=127.0.0.1:0"
CONFIG = "clusters: [{address: 127.0.0.1, basic_auth: {username: u, password: p}}]\n"
REQUIRED = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments], check=False, capture_output=True, text=True, cwd=cwd
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_secret(tmp_path / "config.yaml", CONFIG)
    return tmp_path


@pytest.fixture
def certificates(folder: Path) -> Certificates:
    return Certificates(folder)


def flags(folder: Path) -> list[str]:
    return [f"--config.file={folder / 'config.yaml'}", f"--web.config.file={folder / 'web.yaml'}", LISTEN]


async def status(daemon: Daemon, scheme: str, context: ssl.SSLContext, **headers: str) -> int:
    url = daemon.url.replace("http", scheme, 1) + "/metrics"
    async with daemon.session.get(url, ssl=context, headers=headers) as response:
        return response.status


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_bad_web_configuration_ends_with_2_and_names_the_line(command: str, folder: Path) -> None:
    write(folder / "web.yaml", "basic_auth_users:\n  alice: made-up\n")
    done = run(command, "--web.config.file=web.yaml", LISTEN, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("web.yaml:2: basic_auth_users.alice: not a hash of bcrypt")
    assert "made-up" not in done.stderr


def test_a_good_file_is_reported_as_valid(folder: Path, certificates: Certificates) -> None:
    write(folder / "web.yaml", f"{TLS}basic_auth_users: {{alice: {hashed('right')}}}\n")
    done = run("check-web-config", "web.yaml", cwd=certificates.folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "web.yaml: valid, HTTPS, 1 user\n", "")


def test_warnings_are_printed(folder: Path, certificates: Certificates) -> None:
    text = f"""{TLS}  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
http_server_config: {{http2: true}}
basic_auth_users: {{alice: {hashed("right")}}}
"""
    write(folder / "web.yaml", text).chmod(0o644)
    (certificates.folder / "server.key").chmod(0o604)
    done = run("check-web-config", "web.yaml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.replace(f"{folder}/", "").splitlines() == [
        "warning: web.yaml: every user of this machine can read the secret (mode 0644): web.yaml",
        (
            "warning: web.yaml:3: tls_server_config.key_file: "
            "every user of this machine can read the secret (mode 0604): server.key"
        ),
        (
            "warning: web.yaml:4: tls_server_config.cipher_suites: "
            "suites of TLS 1.3 cannot be chosen: it always offers its own"
        ),
        (
            "warning: web.yaml:5: http_server_config.http2: "
            "HTTP/1.1 is served, which every client of HTTP/2 speaks as well"
        ),
        "web.yaml: valid, HTTPS, 1 user",
    ]


def test_every_mistake_is_printed_and_the_exit_code_is_1(folder: Path) -> None:
    write(folder / "web.yaml", "tls_server_config: {cert_file: a, key_file: b}\nrate_limit: {burst: many}\n")
    done = run("check-web-config", "web.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    *mistakes, last = done.stderr.splitlines()
    assert last == "ontap-packages-exporter: error: 3 errors in web.yaml"
    assert [line.split(": ")[:2] for line in mistakes] == [
        ["web.yaml:1", "tls_server_config.cert_file"],
        ["web.yaml:1", "tls_server_config.key_file"],
        ["web.yaml:2", "rate_limit.burst"],
    ]


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "why"),
    [(-2 * HOUR, -HOUR, "the certificate has expired"), (HOUR, 2 * HOUR, "the certificate is not valid yet")],
)
def test_a_certificate_that_is_not_valid_now_is_a_mistake(
    valid_from: timedelta, valid_to: timedelta, why: str, folder: Path, certificates: Certificates
) -> None:
    certificates.issue_server(valid_from=valid_from, valid_to=valid_to)
    write(folder / "web.yaml", TLS)
    done = run("check-web-config", "web.yaml", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"web.yaml:2: tls_server_config.cert_file: {why}")


def test_a_certificate_that_is_made_for_another_purpose_is_the_clients_affair(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    usages = {
        **dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment"), False),
        **dict.fromkeys(("data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False),
        **dict.fromkeys(("key_cert_sign", "crl_sign"), True),
    }
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - HOUR, now + HOUR)
        .add_extension(x509.KeyUsage(**usages), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    write(folder / "server.crt", certificate.public_bytes(Encoding.PEM))
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write(folder / "server.key", key.private_bytes(*form))
    write(folder / "web.yaml", TLS)
    done = run("check-web-config", "web.yaml", cwd=folder)
    assert (done.stderr, done.returncode) == ("", 0)


async def test_the_daemon_is_protected_healthy_and_silent_about_passwords(
    folder: Path, certificates: Certificates
) -> None:
    known = hashed("a right secret")
    write(folder / "web.yaml", f"{TLS}basic_auth_users: {{alice: {known}}}\n")
    context = certificates.client()
    async with program("run", *flags(folder), "--log.level=debug") as daemon:
        right, wrong = basic("alice", "a right secret"), basic("alice", "a wrong secret")
        assert await status(daemon, "https", context, Authorization=right) == 200
        assert await status(daemon, "https", context, Authorization=wrong) == 401
        assert await status(daemon, "https", context) == 401
        with pytest.raises(aiohttp.ClientError):
            await daemon.get("/metrics")
        url = daemon.url.replace("http", "https", 1)
        healthy = await asyncio.to_thread(run, "health", f"--url={url}", cwd=folder)
        assert (healthy.returncode, healthy.stderr) == (0, "")
        plain = await asyncio.to_thread(run, "health", f"--url={daemon.url}", cwd=folder)
        assert plain.returncode == 1
        write(folder / "web.yaml", f"{TLS}basic_auth_users: {{alice: {known[:-1]}}}\n")
        await daemon.until_line("the last good one stays applied")
        assert await status(daemon, "https", context, Authorization=right) == 200
        assert await daemon.stop() == 0
    assert 'msg="web configuration applied"' in daemon.output
    assert "Traceback" not in daemon.output
    for secret in ("a right secret", "a wrong secret", right, wrong, right[6:], known[:-1], known[7:29]):
        assert secret not in daemon.output


async def test_health_asks_with_and_without_tls_if_no_url_is_given(
    folder: Path,
) -> None:
    Certificates(folder)
    for text in ("{}\n", TLS):
        async with guarded(write(folder / "web.yaml", text)) as server:
            urls = tuple(f"{scheme}://127.0.0.1:{server.port}" for scheme in ("http", "https"))
            assert await asyncio.to_thread(health.ask, urls) is None
        wrong = await asyncio.to_thread(health.ask, urls)
        assert wrong is not None
        assert [said.split(" ")[0] for said in wrong.split("; ")] == list(urls)


async def test_health_shows_a_certificate_if_one_is_required(
    folder: Path, certificates: Certificates
) -> None:
    write(folder / "web.yaml", REQUIRED)
    leaf = certificates.authority.issue_cert("health.example")
    write(folder / "health.crt", leaf.cert_chain_pems[0].bytes())
    write(folder / "health.key", leaf.private_key_pem.bytes())
    async with guarded(folder / "web.yaml") as server:
        url = f"--url=https://127.0.0.1:{server.port}"
        shown = ("health", url, "--cert-file=health.crt", "--key-file=health.key")
        done = await asyncio.to_thread(run, *shown, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        for name in ("health.crt", "health.key"):
            write(folder / name, codecs.BOM_UTF8 + (folder / name).read_bytes())
        done = await asyncio.to_thread(run, *shown, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        refused = await asyncio.to_thread(run, "health", url, cwd=folder)
        assert refused.returncode == 1
        bad = await asyncio.to_thread(run, "health", url, "--cert-file=no-such.crt", cwd=folder)
        assert bad.returncode == 2
        assert "the client certificate cannot be used: No such file" in bad.stderr
        key = load_pem_private_key(leaf.private_key_pem.bytes(), password=None)
        encryption = BestAvailableEncryption(b"made-up")
        write(folder / "health.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        bad = await asyncio.to_thread(run, *shown, cwd=folder)
        assert bad.returncode == 2
        assert "the private key is encrypted" in bad.stderr


async def test_the_daemon_stops_in_order_while_passwords_are_checked(folder: Path) -> None:
    import bcrypt  # noqa: PLC0415 - a slow hash, for this test alone

    slow = bcrypt.hashpw(b"right", bcrypt.gensalt(12)).decode()
    write(folder / "web.yaml", f"basic_auth_users: {{alice: {slow}}}\n")
    async with program("run", *flags(folder)) as daemon:

        async def ask(number: int) -> None:
            with contextlib.suppress(aiohttp.ClientError):
                await daemon.get("/metrics", Authorization=basic("alice", f"wrong {number}"))

        tasks = [asyncio.create_task(ask(number)) for number in range(20)]
        await daemon.until_line("msg=polling")
        # The first that is turned away shows that others wait for their turn.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(10):
            assert await daemon.stop() == 0
        await asyncio.gather(*tasks)
    assert "Traceback" not in daemon.output
    assert "exception" not in daemon.output
