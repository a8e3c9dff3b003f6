"""What has survived a full collection is left alone, and garbage is found all the same."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from exporter.app.garbage import collect_everything, survivors_frozen
from support.waiting import eventually


class Node:
    """Something that can be part of a cycle."""

    other: Node


def cycle() -> Node:
    node = Node()
    node.other = node
    return node


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_survivors_are_frozen_for_as_long_as_the_context_lasts() -> None:
    alive = cycle()
    with survivors_frozen():
        assert gc.get_freeze_count() > 1000
        assert not any(one is alive for one in gc.get_objects())
    assert gc.get_freeze_count() == 0
    assert any(one is alive for one in gc.get_objects())


def test_a_cycle_that_was_never_frozen_is_collected() -> None:
    with survivors_frozen():
        gone = weakref.ref(cycle())
        gc.collect()
        assert gone() is None


async def test_a_cycle_that_was_frozen_is_collected_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.app.garbage.FULL_COLLECTION_SECONDS", 0.01)
    alive = cycle()
    gone = weakref.ref(alive)
    with survivors_frozen():
        del alive
        gc.collect()
        assert gone() is not None
        collecting = asyncio.create_task(collect_everything())

        async def collected() -> bool:
            return gone() is None

        await eventually(collected, seconds=10, what="the cycle to be collected")
        collecting.cancel()
