"""Full garbage collections are held off for a while, and then spare what is alive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from exporter.app.garbage_collection import FullCollections
from exporter.ontap.cluster_settings import BasicLogin, Secret
from exporter.ontap.credentials import Credentials
from support.waiting import eventually


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_they_are_held_off_for_a_while_and_then_spare_what_is_alive() -> None:
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    collections = FullCollections(seconds=0.05)
    collections.hold_off()
    collections.hold_off()
    assert gc.get_threshold()[2] > 10**9

    async def over() -> bool:
        return gc.get_threshold() == usual

    await eventually(over, seconds=30, what="collections as usual")
    assert gc.get_freeze_count() > frozen + 1000
    collections.hold_off()
    collections.stop()
    assert gc.get_threshold() == usual


async def test_what_dies_in_a_cycle_meanwhile_is_freed_and_not_frozen() -> None:
    class Node:
        itself: Node

    usual = gc.get_threshold()
    collections = FullCollections(seconds=0.2)
    collections.hold_off()
    node = Node()
    node.itself = node
    held = weakref.ref(node)
    gc.collect(1)
    gc.collect(1)  # it is as old as can be now
    del node

    async def over() -> bool:
        return gc.get_threshold() == usual

    await eventually(over, seconds=30, what="collections as usual")
    assert held() is None


def test_credentials_are_freed_without_the_collector() -> None:
    gc.disable()
    try:
        credentials = Credentials(BasicLogin(username="monitor", password=Secret(value="p")))
        held = weakref.ref(credentials)
        del credentials
        assert held() is None
    finally:
        gc.enable()
