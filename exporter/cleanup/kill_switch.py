"""The kill switch: while it is on, no DELETE is sent. What ONTAP has accepted is still followed."""

from __future__ import annotations

import asyncio


class KillSwitch:
    """Whether deleting is halted.

    Args:
        active: whether it is from the start.
    """

    def __init__(self, *, active: bool = False) -> None:
        self._engaged = asyncio.Event()
        if active:
            self._engaged.set()

    @property
    def active(self) -> bool:
        """Whether it is halted now."""
        return self._engaged.is_set()

    def engage(self) -> None:
        """Send no DELETE any more."""
        self._engaged.set()

    def release(self) -> None:
        """Let runs delete again."""
        self._engaged.clear()

    async def engaged(self) -> None:
        """Wait until the kill switch is on."""
        await self._engaged.wait()
