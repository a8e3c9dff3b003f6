"""Keeps Python's garbage collector from stopping everything: what has survived is not looked at every time.

A full collection looks at every object. With 10,000 clusters that takes longer than a tenth of a second, in
which nothing is polled and nobody answered. What lives through one is nearly always the state of a cluster,
which goes away by itself when a poll replaces it.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NoReturn

FULL_COLLECTION_SECONDS = 3600.0
"""How often everything is looked at all the same, for cycles that were alive once and no longer are."""
_OLDEST_GENERATION = 2


@contextmanager
def survivors_frozen() -> Iterator[None]:
    """Take what survives a full collection out of the following ones, for as long as the context lasts."""
    gc.callbacks.append(_freeze)
    gc.collect()
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze)
        gc.unfreeze()


async def collect_everything() -> NoReturn:
    """Look at everything once in a while, until cancelled."""
    while True:
        await asyncio.sleep(FULL_COLLECTION_SECONDS)
        gc.unfreeze()
        gc.collect()


def _freeze(phase: Literal["start", "stop"], info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == _OLDEST_GENERATION:
        gc.freeze()
