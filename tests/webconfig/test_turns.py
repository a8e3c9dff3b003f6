"""Every client has its turn, and none can take another's."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from exporter.webconfig.turns import TooManyWaitError, Turns, client_of


def note(order: list[str], name: str) -> bool:
    order.append(name)
    return True


async def held(turns: Turns) -> tuple[threading.Event, asyncio.Task[bool]]:
    """Let a check begin that ends when it is told to."""
    begun, go_on = threading.Event(), threading.Event()

    def check() -> bool:
        begun.set()
        return go_on.wait(30)

    task = asyncio.create_task(turns.take("first", check))
    await asyncio.to_thread(begun.wait, 30)
    return go_on, task


async def test_a_client_waits_for_one_check_of_every_other() -> None:
    turns, order = Turns(), list[str]()
    go_on, first = await held(turns)
    names = ["a1", "a2", "a3", "b1", "a4", "c1"]
    tasks = [asyncio.create_task(turns.take(name[0], partial(note, order, name))) for name in names]
    await asyncio.sleep(0)
    go_on.set()
    assert all(await asyncio.gather(first, *tasks))
    assert order == ["a1", "b1", "c1", "a2", "a3", "a4"]


async def test_a_client_with_many_waiting_checks_is_told_to_wait_and_others_are_not() -> None:
    turns, order = Turns(), list[str]()
    go_on, first = await held(turns)
    tasks = [asyncio.create_task(turns.take("a", partial(note, order, "a"))) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaitError):
        await turns.take("a", partial(note, order, "one too many"))
    other = asyncio.create_task(turns.take("b", partial(note, order, "b")))
    await asyncio.sleep(0)
    go_on.set()
    assert all(await asyncio.gather(first, other, *tasks))
    assert order.index("b") == 1


async def test_only_so_many_clients_wait() -> None:
    turns, order = Turns(), list[str]()
    go_on, first = await held(turns)
    tasks = [asyncio.create_task(turns.take(f"client {n}", partial(note, order, ""))) for n in range(256)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaitError):
        await turns.take("one more", partial(note, order, "one too many"))
    go_on.set()
    assert all(await asyncio.gather(first, *tasks))


async def test_who_has_gone_away_is_passed_over() -> None:
    turns, order = Turns(), list[str]()
    go_on, first = await held(turns)
    gone = asyncio.create_task(turns.take("a", partial(note, order, "gone")))
    there = asyncio.create_task(turns.take("b", partial(note, order, "there")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await there
    assert await first
    assert order == ["there"]


async def test_a_check_that_breaks_breaks_for_its_client_alone() -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        await turns.take("a", broken)
    assert await turns.take("a", lambda: True)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
        ("somewhere", ""),
    ],
)
def test_a_client_is_an_address_or_the_network_of_one(address: str | None, client: str) -> None:
    assert client_of(address) == client
