"""The log warns of a version that protects less than the one before."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import structlog

from exporter.web.auth import load_web_config
from support.guarded import TLS, Certificates, guarded, hashed, write

USERS = f"basic_auth_users:\n  alice: {hashed('right')}\n"
OTHER_USERS = f"basic_auth_users:\n  bob: {hashed('right')}\n"
LIMIT = "rate_limit:\n  interval: 0s\n  burst: 10\n"
CLIENTS = "  client_ca_file: ca.pem\n  client_auth_type: "
IF_GIVEN = TLS + CLIENTS + "VerifyClientCertIfGiven\n"
REQUIRED = TLS + CLIENTS + "RequireAndVerifyClientCert\n"
ALLOWED = REQUIRED + "  client_allowed_sans: [prometheus.example]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Certificates(tmp_path)
    return tmp_path / "web.yaml"


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (LIMIT + USERS, LIMIT, ("basic_auth_users",)),
        (USERS, OTHER_USERS, ()),
        (LIMIT, USERS, ()),
        (LIMIT, "{}\n", ()),
        (TLS, "{}\n", ("tls_server_config",)),
        ("{}\n", ALLOWED, ()),
        (REQUIRED, "{}\n", ("tls_server_config", "client_auth_type")),
        (REQUIRED, IF_GIVEN, ("client_auth_type",)),
        (IF_GIVEN, TLS, ("client_auth_type",)),
        (IF_GIVEN, REQUIRED, ()),
        (ALLOWED, REQUIRED, ("client_allowed_sans",)),
        (TLS + USERS, "{}\n", ("tls_server_config", "basic_auth_users")),
    ],
    ids=itertools.count(),  # hashes differ from process to process
)
def test_users_tls_and_clients_certificates_protect(
    before: str, after: str, lost: tuple[str, ...], file: Path
) -> None:
    old = load_web_config(write(file, before), environ={})
    new = load_web_config(write(file, after), environ={})
    assert new.protection_lost_since(old) == lost


async def test_a_weaker_version_is_applied_with_a_warning(file: Path) -> None:
    async with guarded(write(file, LIMIT + USERS)) as server:
        with structlog.testing.capture_logs() as lines:
            write(file, LIMIT)
            assert await server.protection.reload() is None
        assert await server.status() == 200
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [line["event"] for line in warnings] == ["protection is weaker than before"]
    assert warnings[0]["without"] == "basic_auth_users"
