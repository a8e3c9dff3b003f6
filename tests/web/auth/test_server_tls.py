"""Connections are encrypted as the file says, and only clients that it allows are let in."""

from __future__ import annotations

import asyncio
import logging
import platform
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from exporter.config import ConfigError
from exporter.web.auth import load_web_config
from support.client_connections import connected
from support.guarded import TLS, Certificates, guarded, hashed, write

REQUIRED = TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
IF_GIVEN = TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yaml"


async def negotiated(port: int, context: ssl.SSLContext) -> tuple[str, str]:
    """Return the version and the cipher suite of a connection."""
    async with connected("127.0.0.1", port, context) as (_, writer):
        made = writer.get_extra_info("ssl_object")
        return made.version(), made.cipher()[0]


async def test_pages_are_served_over_tls_alone(file: Path, certificates: Certificates) -> None:
    async with guarded(write(file, TLS)) as server:
        assert (await server.get("/metrics", context=certificates.client())).status == 200
        with pytest.raises(aiohttp.ClientError):
            await server.get("/metrics")


async def test_certificate_and_key_written_in_place_are_served(
    file: Path, certificates: Certificates
) -> None:
    leaf = certificates.authority.issue_cert("127.0.0.1")
    pem = {
        "cert": leaf.cert_chain_pems[0].bytes().decode(),
        "key": leaf.private_key_pem.bytes().decode(),
        "client_ca": certificates.authority.cert_pem.bytes().decode(),
    }
    text = "tls_server_config:\n  client_auth_type: RequireAndVerifyClientCert\n"
    for key, value in pem.items():
        commented = f"# für alle, 全員\n{value}"
        text += f"  {key}: |\n" + "".join(f"    {line}\n" for line in commented.splitlines())
    async with guarded(write(file, text)) as server:
        assert await server.status(context=certificates.client("prometheus.example")) == 200
        assert await server.status(context=certificates.client()) == 0


@pytest.mark.parametrize(
    ("settings", "offered", "version"),
    [
        ("", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("  max_version: TLS12\n", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("  min_version: TLS13\n", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
    ],
)
async def test_versions_that_are_allowed_are_spoken(
    settings: str, offered: ssl.TLSVersion, version: str, file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, TLS + settings)) as server:
        context = certificates.client(maximum=offered)
        assert (await negotiated(server.port, context))[0] == version


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("settings", "offered"),
    [
        ("", ssl.TLSVersion.TLSv1_1),
        ("  min_version: TLS13\n", ssl.TLSVersion.TLSv1_2),
        ("  max_version: TLS12\n", ssl.TLSVersion.TLSv1_3),
    ],
)
async def test_versions_that_are_not_allowed_are_refused(
    settings: str, offered: ssl.TLSVersion, file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, TLS + settings)) as server:
        context = certificates.client(maximum=offered)
        if offered is ssl.TLSVersion.TLSv1_1:
            context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await negotiated(server.port, context)


async def test_only_named_cipher_suites_are_spoken_in_the_order_that_is_preferred(
    file: Path, certificates: Certificates
) -> None:
    suites = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    text = f"{TLS}  cipher_suites: [{suites}]\n"
    context = certificates.client(maximum=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    async with guarded(write(file, text)) as server:
        assert (await negotiated(server.port, context))[1] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        other = certificates.client(maximum=ssl.TLSVersion.TLSv1_2)
        other.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await negotiated(server.port, other)
    async with guarded(write(file, text + "  prefer_server_cipher_suites: false\n")) as server:
        assert (await negotiated(server.port, context))[1] == "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize(
    ("curve", "openssl"), [("CurveP256", "prime256v1"), ("CurveP384", "secp384r1"), ("X25519", "X25519")]
)
async def test_only_the_named_curve_is_spoken_and_what_this_python_cannot_require_is_an_error_at_its_key(
    curve: str, openssl: str, file: Path, certificates: Certificates
) -> None:
    write(file, f"{TLS}  curve_preferences: [{curve}]\n")
    right, wrong = certificates.client(), certificates.client()
    wrong.set_ecdh_curve("secp521r1")
    try:
        right.set_ecdh_curve(openssl)
    except ssl.SSLError:
        # As Debian 12's Python 3.11.2, which looks for X25519 among the NIST curves.
        with pytest.raises(ConfigError) as caught:
            load_web_config(file, environ={})
        assert str(caught.value) == (
            f"{file}:4: tls_server_config.curve_preferences: Python {platform.python_version()} on this "
            f"system cannot require {curve}; without curve_preferences, OpenSSL chooses, X25519 first"
        )
        return
    async with guarded(file) as server:
        assert await server.status(context=right) == 200
        assert await server.status(context=wrong) == 0


async def test_a_client_certificate_is_required(file: Path, certificates: Certificates) -> None:
    async with guarded(write(file, REQUIRED)) as server:
        assert await server.status(context=certificates.client("prometheus.example")) == 200
        assert await server.status(context=certificates.client()) == 0
        stranger = certificates.client("prometheus.example", signed_by=trustme.CA())
        assert await server.status(context=stranger) == 0


async def test_any_authority_of_a_file_with_several_and_comments_is_trusted(
    file: Path, certificates: Certificates
) -> None:
    other = trustme.CA()
    parts = (
        certificates.authority.cert_pem.bytes(),
        "# Főtanúsítvány\n".encode(),
        other.cert_pem.bytes(),
        b"\n#\n",
    )
    write(certificates.folder / "ca-of-clients.pem", b"".join(parts))
    text = REQUIRED.replace("client_ca_file: ca.pem", "client_ca_file: ca-of-clients.pem")
    async with guarded(write(file, text)) as server:
        for authority in (certificates.authority, other):
            assert await server.status(context=certificates.client("a.example", signed_by=authority)) == 200
        stranger = certificates.client("a.example", signed_by=trustme.CA())
        assert await server.status(context=stranger) == 0


async def test_a_client_certificate_may_be_given_and_is_then_verified(
    file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, IF_GIVEN)) as server:
        assert await server.status(context=certificates.client()) == 200
        assert await server.status(context=certificates.client("prometheus.example")) == 200
        stranger = certificates.client("prometheus.example", signed_by=trustme.CA())
        assert await server.status(context=stranger) == 0


@pytest.mark.parametrize(
    "name", ["prometheus.example", "10.1.2.3", "2001:db8::1", "ops@example.org", "*.example.org"]
)
async def test_only_a_certificate_with_an_allowed_name_is_let_in(
    name: str, file: Path, certificates: Certificates
) -> None:
    async with guarded(write(file, f'{REQUIRED}  client_allowed_sans: ["a.example", "{name}"]\n')) as server:
        assert await server.status(context=certificates.client("b.example", name)) == 200
        refused = await server.get("/metrics", context=certificates.client("b.example", "10.1.2.4"))
        assert refused.status == 403
        assert refused.headers["Connection"] == "close"


async def test_certificate_and_password_are_both_asked_for(file: Path, certificates: Certificates) -> None:
    text = f"{REQUIRED}basic_auth_users: {{alice: {hashed('right')}}}\n"
    async with guarded(write(file, text)) as server:
        client = certificates.client("prometheus.example")
        assert await server.status(context=client) == 401
        assert await server.status(context=client, login=("alice", "right")) == 200
        assert await server.status(context=certificates.client(), login=("alice", "right")) == 0


async def test_who_speaks_no_tls_or_goes_away_leaves_no_trace_in_the_log(
    file: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with guarded(write(file, REQUIRED)) as server:
        for sent in (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b"", b"\xff" * 5000):
            async with connected("127.0.0.1", server.port) as (reader, writer), asyncio.timeout(20):
                writer.write(sent)
                writer.write_eof()
                assert b"HTTP/1.1 200" not in await reader.read()
        assert await server.status(context=certificates.client()) == 0
        assert await server.status(context=certificates.client("prometheus.example")) == 200
    assert caplog.records == []


async def test_configured_headers_are_sent_with_every_answer(file: Path, certificates: Certificates) -> None:
    text = f"""{TLS}http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
    X-XSS-Protection: ""
basic_auth_users:
  alice: {hashed("right")}
"""
    async with guarded(write(file, text)) as server:
        context = certificates.client()
        refused = await server.get("/metrics", context=context)
        missing = await server.get("/no-such-page", context=context, login=("alice", "right"))
        page = await server.get("/", context=context, login=("alice", "right"))
    assert [answer.status for answer in (refused, missing, page)] == [401, 404, 200]
    for answer in (refused, missing, page):
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["X-Frame-Options"] == "deny"
        assert "X-XSS-Protection" not in answer.headers
