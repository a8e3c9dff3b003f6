"""What protects less than before may be half of a file: it is in force once it has stayed for a while."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
import structlog

from exporter.webconfig import load_web_config
from support.guarded import (
    LOOK_SECONDS,
    TLS,
    WAIT_SECONDS,
    Certificates,
    guarded,
    hashed,
    write,
)
from support.waiting import eventually

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
    assert new.lacks_of(old) == lost


async def test_half_of_a_file_opens_nothing_even_where_a_reload_is_asked_for(file: Path) -> None:
    async with guarded(write(file, LIMIT + USERS), weaker_seconds=10 * WAIT_SECONDS) as server:
        write(file, LIMIT)
        reloading = asyncio.create_task(server.protection.reload())
        for _ in range(20):
            await asyncio.sleep(LOOK_SECONDS)
            assert await server.status() == 401
        assert not reloading.done()
        write(file, LIMIT + OTHER_USERS)
        async with asyncio.timeout(WAIT_SECONDS):
            assert await reloading is None
        assert [await server.status(), await server.status(login=("bob", "right"))] == [401, 200]


@pytest.mark.parametrize("is_asked", [False, True])
async def test_what_stays_is_in_force_after_a_while_with_a_warning(file: Path, *, is_asked: bool) -> None:
    loop = asyncio.get_running_loop()
    async with guarded(write(file, LIMIT + USERS), weaker_seconds=0.5) as server:
        with structlog.testing.capture_logs() as lines:
            begun = loop.time()
            write(file, LIMIT)
            if is_asked:
                assert await server.protection.reload() is None
                assert await server.status() == 200

            async def is_open() -> bool:
                return await server.status() == 200

            await eventually(is_open, seconds=WAIT_SECONDS, what="pages without a password")
            assert loop.time() - begun >= 0.5
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [line["event"] for line in warnings] == ["protection is weaker than before"]
    assert warnings[0]["without"] == "basic_auth_users"
