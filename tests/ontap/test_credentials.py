"""Reading credentials never waits for a disk that hangs, and the fingerprint of the sent ones is known."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from exporter.ontap.cluster_settings import (
    MAX_SECRET_BYTES,
    BasicLogin,
    Header,
    Login,
    Secret,
    Tls,
    TokenLogin,
)
from exporter.ontap.credentials import Credentials, LoginContent, read_login
from exporter.ontap.errors import Unauthorized

DEADLINE_SECONDS = 60.0


def from_file(file: Path) -> Credentials:
    return Credentials(TokenLogin(credentials=Secret(file=file)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secret"


async def has_others(credentials: Credentials) -> bool:
    """Say whether what is read now differs from what was sent last."""
    await credentials.renew()
    return credentials.known not in {None, credentials.sent}


async def authorization(credentials: Credentials) -> str | None:
    """Return the ``Authorization`` header that is sent."""
    return dict(await credentials.headers()).get("Authorization")


async def test_a_file_that_has_become_a_pipe_is_refused_at_once(file: Path) -> None:
    file.write_text("first")
    credentials = from_file(file)
    assert await authorization(credentials) == "Bearer first"
    file.unlink()
    os.mkfifo(file)
    assert not await has_others(credentials)
    with pytest.raises(Unauthorized, match="not a regular file"):
        await authorization(credentials)


async def test_a_file_that_is_too_large_is_refused(file: Path) -> None:
    file.write_bytes(b"x" * MAX_SECRET_BYTES)
    assert len(await authorization(from_file(file)) or "") > MAX_SECRET_BYTES
    file.write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    with pytest.raises(Unauthorized, match="larger than 64 KiB"):
        await authorization(from_file(file))


async def test_a_byte_order_mark_is_no_part_of_a_secret(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfsecret\r\n")
    assert await authorization(from_file(file)) == "Bearer secret"


async def test_a_secret_that_was_renewed_in_its_file_is_sent_next(file: Path) -> None:
    file.write_text("first")
    credentials = from_file(file)
    assert await authorization(credentials) == "Bearer first"
    file.write_text("other")  # of the same length, maybe within the same tick of the clock
    assert await authorization(credentials) == "Bearer other"
    renewed = file.with_suffix(".new")
    renewed.write_text("third")
    renewed.rename(file)
    assert await authorization(credentials) == "Bearer third"


UNUSABLE = [
    (b"", "empty"),
    (b" \r\n\t\n", "empty"),
    (b"\xef\xbb\xbf\n", "empty"),
    (b"s3cr\0t", "one line of ASCII|control character"),
    (b"s3cr\nt", "one line of ASCII|control character"),
    (b"s3cr\x7ft", "one line of ASCII|control character"),
    (b"s3cr\xfft", "UTF-8"),
    ("s3cr\u0085t".encode(), "one line of ASCII|control character"),
    ("s3crt".encode("utf-16"), "UTF-16|UTF-8"),
]


@pytest.mark.parametrize(("content", "why"), UNUSABLE, ids=[repr(content) for content, _ in UNUSABLE])
@pytest.mark.parametrize("kind", ["token", "password", "user name", "header"])
async def test_a_file_that_becomes_unusable_is_not_sent_and_named_without_its_content(
    kind: str, content: bytes, why: str, file: Path
) -> None:
    password = Secret(value="simulated")
    credentials = {
        "token": from_file(file),
        "password": Credentials(BasicLogin(username="monitor", password=Secret(file=file))),
        "user name": Credentials(BasicLogin(username_file=file, password=password)),
        "header": Credentials(None, headers=(Header(name="X-Key", value=Secret(file=file)),)),
    }[kind]
    file.write_bytes(b"good")
    await credentials.headers()
    file.write_bytes(content)
    with pytest.raises(Unauthorized, match=why) as caught:
        await credentials.headers()
    assert str(file) in str(caught.value)
    assert "s3cr" not in str(caught.value)
    assert credentials.sent is None
    file.write_bytes(b"good")
    await credentials.headers()


class Disk:
    """A disk that answers when the test lets it."""

    def __init__(self, *, answers: bool = False) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.reads = 0
        if answers:
            self.answers.set()

    def read(self, login: Login, headers: tuple[Header, ...], files: tuple[Path, ...]) -> LoginContent:
        self.reads += 1
        self.asked.set()
        assert self.answers.wait(DEADLINE_SECONDS)
        return read_login(login, headers, files)

    def credentials(self, file: Path) -> Credentials:
        """Read a file on the disk; a file that was read before is not waited for."""
        login = TokenLogin(credentials=Secret(file=file))
        return Credentials(login, read=self.read, refresh_timeout_seconds=0.01)


async def test_a_disk_that_does_not_answer_holds_up_nobody_else(file: Path) -> None:
    file.write_text("late")
    disk = Disk()
    credentials = disk.credentials(file)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await authorization(credentials)
    assert disk.asked.wait(DEADLINE_SECONDS)
    assert disk.reads == 1
    disk.answers.set()
    assert await authorization(credentials) == "Bearer late"
    assert disk.reads == 1


async def test_the_credentials_from_before_are_sent_while_the_disk_does_not_answer(file: Path) -> None:
    file.write_text("first")
    disk = Disk(answers=True)
    credentials = disk.credentials(file)
    assert await authorization(credentials) == "Bearer first"
    disk.answers.clear()
    file.write_text("second")
    assert await authorization(credentials) == "Bearer first"
    await credentials.renew()
    assert await authorization(credentials) == "Bearer first"
    assert disk.reads == 2  # no thread beside one that waits
    disk.answers.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await authorization(credentials) != "Bearer second":
            pass


async def test_a_loop_that_ends_does_not_wait_for_a_disk(file: Path) -> None:
    file.write_text("late")
    disk = Disk()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await authorization(disk.credentials(file))

    with pytest.raises(TimeoutError):
        await asyncio.to_thread(asyncio.run, give_up())
    assert disk.asked.wait(DEADLINE_SECONDS)
    assert disk.reads == 1
    assert not disk.answers.is_set()
    disk.answers.set()


async def test_only_other_content_makes_other_credentials(file: Path) -> None:
    file.write_text("same")
    credentials = from_file(file)
    await authorization(credentials)
    assert not await has_others(credentials)
    file.unlink()
    assert not await has_others(credentials)
    file.write_text("same\n")
    assert not await has_others(credentials)
    file.write_text("other")
    assert await has_others(credentials)


@pytest.mark.parametrize("login", [None, BasicLogin(username="monitor", password=Secret(value="simulated"))])
async def test_a_renewed_client_certificate_is_a_change(login: Login, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text("certificate 1")
    key.write_text("key 1")
    credentials = Credentials(login, Tls(cert_file=certificate, key_file=key))
    await authorization(credentials)
    assert not await has_others(credentials)
    for file in (certificate, key):
        file.write_text(file.read_text())  # the same, written again
    assert not await has_others(credentials)
    certificate.unlink()
    assert not await has_others(credentials)
    certificate.write_text("certificate 2")
    assert await has_others(credentials)
    await authorization(credentials)
    assert not await has_others(credentials)
    key.write_text("key 2")
    assert await has_others(credentials)
