"""Postpones full garbage collections while many long-lived objects are made."""

from __future__ import annotations

import asyncio
import gc

HELD_OFF_SECONDS = 120.0
"""The first polls of 10,000 clusters take about a minute."""
_NEVER = 2**31 - 1


class FullCollections:
    """Postpones full garbage collections while many long-lived objects are made.

    With 10,000 clusters, a full collection stops the program for over half a second. So there is only one,
    when the objects have been made; it frees those in cycles. The objects that are alive then are left out
    of later collections: nearly all belong to the program, or to the configuration or status of a cluster,
    and are freed without the collector when others replace them.
    """

    def __init__(self, *, seconds: float = HELD_OFF_SECONDS) -> None:
        self._seconds = seconds
        self._thresholds = gc.get_threshold()
        self._timer: asyncio.TimerHandle | None = None

    def hold_off(self) -> None:
        """Postpone full collections for a while; if they are postponed already, the end stays the same."""
        if self._timer is None:
            young, middle, _ = self._thresholds
            gc.set_threshold(young, middle, _NEVER)
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Give the collector its thresholds back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gc.set_threshold(*self._thresholds)

    def _end(self) -> None:
        self.stop()
        gc.collect()  # what is frozen in a cycle would stay for ever
        gc.freeze()
