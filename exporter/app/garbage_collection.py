"""Holds off full garbage collections, during which the program stands still."""

from __future__ import annotations

import asyncio
import gc

HELD_OFF_SECONDS = 120.0
"""The first polls of 10,000 clusters take about a minute."""
_NEVER = 2**31 - 1


class FullCollections:
    """Holds off full garbage collections while very many objects are made that stay.

    With 10,000 clusters, one takes over half a second. The only one at the end frees what is in cycles by
    then, and what is alive is taken out of all later ones: nearly every object belongs to the program itself,
    or to the configuration or status of a cluster. Those are freed without the collector when others replace
    them.
    """

    def __init__(self, *, seconds: float = HELD_OFF_SECONDS) -> None:
        self._seconds = seconds
        self._thresholds = gc.get_threshold()
        self._timer: asyncio.TimerHandle | None = None

    def hold_off(self) -> None:
        """Have none for a while; if they are held off already, that time does not begin anew."""
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
