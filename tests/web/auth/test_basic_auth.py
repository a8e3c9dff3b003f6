"""Nobody sees a page without a right password, and wrong ones keep nobody else from theirs."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from exporter.web.auth.fair_queue import Check, FairQueue
from exporter.web.auth.passwords import Passwords
from support.guarded import PAGES, WAYS, basic, guarded, hashed, write

USERS = f"basic_auth_users:\n  alice: {hashed('right')}\n  bob: {hashed('röght')}\n"
ALICE = ("alice", "right")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "web.yaml", USERS)


@pytest.mark.parametrize("path", [*PAGES, *WAYS])
async def test_every_path_asks_for_a_password(path: str, file: Path) -> None:
    async with guarded(file) as server:
        refused = await server.get(path)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic ")
        let_in = await server.status(path, login=ALICE)
        assert let_in == 200 if path in PAGES else let_in in {400, 404, 405}


async def test_only_the_right_password_of_the_right_user_is_taken(file: Path) -> None:
    async with guarded(file) as server:
        wrong = [
            ("alice", "wrong"),
            ("alice", ""),
            ("alice", "röght"),
            ("carol", "right"),
            ("", ""),
            ("bob", "right"),
        ]
        assert [await server.status(login=login) for login in wrong] == [401] * len(wrong)
        assert [await server.status(login=login) for login in [ALICE, ("bob", "röght")]] == [200, 200]
        # Again, now that all of them are remembered.
        assert [await server.status(login=login) for login in [*wrong, ALICE]] == [401] * len(wrong) + [200]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic YWxpY2U=",
        "Bearer YWxpY2U6cmlnaHQ=",
        "Basic YWxpY2U6cmlnaHQ",
        "Basic ü",
    ],
)
async def test_a_header_that_is_no_login_is_refused(text: str, file: Path) -> None:
    async with guarded(file) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/metrics"
        async with session.get(url, headers={"Authorization": text}) as response:
            assert response.status == 401


async def test_methods_that_no_page_has_ask_for_a_password_too(file: Path) -> None:
    async with guarded(file) as server:
        assert (await server.get("/-/reload", method="POST")).status == 401
        assert (await server.get("/metrics", method="DELETE")).status == 401
        assert (await server.get("/metrics", method="DELETE", login=ALICE)).status == 405


class CountedQueue(FairQueue):
    """Counts the checks that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    async def run(self, client: str, check: Check) -> bool:
        self.made += 1
        return await super().run(client, check)


@pytest.fixture
def queue() -> CountedQueue:
    return CountedQueue()


async def accepts(passwords: Passwords, user: str, password: str) -> bool:
    return await passwords.accepts(basic(user, password), client="10.0.0.1")


async def test_a_password_is_checked_once_however_often_it_comes_at_once(queue: CountedQueue) -> None:
    passwords = Passwords({"alice": hashed("right").encode()}, queue)
    good = await asyncio.gather(*(accepts(passwords, "alice", "right") for _ in range(20)))
    bad = await asyncio.gather(*(accepts(passwords, "alice", "wrong") for _ in range(20)))
    assert (all(good), any(bad), queue.made) == (True, False, 2)
    assert await accepts(passwords, "alice", "right")
    assert queue.made == 2


async def test_an_unknown_user_costs_a_check_as_well(queue: CountedQueue) -> None:
    passwords = Passwords({"alice": hashed("right").encode()}, queue)
    assert not await accepts(passwords, "mallory", "right")
    assert queue.made == 1


async def test_no_password_stays_in_memory(queue: CountedQueue) -> None:
    passwords = Passwords({"alice": hashed("a right secret").encode()}, queue)
    assert await accepts(passwords, "alice", "a right secret")
    assert not await accepts(passwords, "alice", "a wrong secret")
    held = [value for value in gc.get_referents(passwords._accepted) if isinstance(value, bytes)]
    assert {len(value) for value in held} == {len(b"alice"), 32}


async def test_of_a_long_password_72_bytes_count_as_bcrypt_says(queue: CountedQueue) -> None:
    long = "x" * 72
    passwords = Passwords({"alice": bcrypt.hashpw(long.encode(), bcrypt.gensalt(4))}, queue)
    assert await accepts(passwords, "alice", long + "more")
    assert not await accepts(passwords, "alice", long[:-1])


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
async def test_every_kind_of_hash_is_checked(kind: str, queue: CountedQueue) -> None:
    known = hashed("right").replace("$2b$", f"${kind}$")
    assert await accepts(Passwords({"alice": known.encode()}, queue), "alice", "right")


async def test_a_flood_of_wrong_passwords_holds_up_neither_the_right_one_nor_the_pages(
    tmp_path: Path,
) -> None:
    slow = bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()
    text = f"basic_auth_users: {{alice: {slow}, bob: {slow}}}\n"
    async with guarded(write(tmp_path / "web.yaml", text)) as server:
        begun = time.monotonic()
        assert await server.status(login=ALICE) == 200
        alone = time.monotonic() - begun
        flood = [asyncio.create_task(server.status(login=("alice", f"wrong {n}"))) for n in range(100)]
        begun = time.monotonic()
        answers = [await server.status("/metrics", login=ALICE) for _ in range(5)]
        seconds = time.monotonic() - begun
        assert answers == [200] * 5
        assert seconds < 50 * alone, "five wait for ten checks each at most, not for a hundred"
        other = await server.get(login=("bob", "right"), address="127.0.0.2")
        assert other.status == 200
        assert not all(task.done() for task in flood)
        refused = await asyncio.gather(*flood)
    assert set(refused) == {401, 429}
    assert refused.count(401) >= 8
