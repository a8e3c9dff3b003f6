"""The kill switch: while it is on, no DELETE is sent. What ONTAP has accepted is still followed."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_RELEASE_SECONDS = 60.0
"""How long a release may wait for a journal. After that, another process may have engaged the kill switch."""


def boot_time() -> float:
    """Return the seconds since this machine started, suspends included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # macOS has no BOOTTIME


class KillSwitch:
    """Whether deleting is halted, in this process and in all that share its journal.

    A signal takes effect in this process at once. The journal carries it to the other processes, and over a
    restart.

    Args:
        active: whether it is on from the start.
        clock: seconds that never go back and go on while the machine is suspended.

    Attributes:
        is_recorded: whether the journal knows the last change that was made here.
    """

    def __init__(self, *, active: bool = False, clock: Callable[[], float] = boot_time) -> None:
        self._active = active
        self._clock = clock
        self._changed_at = clock()
        self._on_change: Callable[[], None] = lambda: None
        self.is_recorded = not active

    @property
    def active(self) -> bool:
        """Whether it is on now."""
        return self._active

    def notify(self, on_change: Callable[[], None]) -> None:
        """Call ``on_change`` after every change made here.

        The caller opens a journal: if the kill switch is on, that journal has yet to learn it.
        """
        self._on_change = on_change
        if self._active:
            self.is_recorded = False

    def engage(self) -> None:
        """Send no DELETE any more."""
        self._change(active=True)

    def release(self) -> None:
        """Let runs delete again."""
        self._change(active=False)

    def drop_old_release(self) -> bool:
        """Drop a release that no journal has recorded for too long, and say whether there was one.

        The journal decides then. An engaged kill switch is never dropped.
        """
        is_old = self._clock() - self._changed_at > LONGEST_RELEASE_SECONDS
        is_dropped = is_old and not self._active and not self.is_recorded
        self.is_recorded |= is_dropped
        return is_dropped

    def follow(self, *, active: bool) -> None:
        """Take over what the journal says, unless a change that was made here has yet to reach it."""
        if self.is_recorded:
            self._active = active

    def _change(self, *, active: bool) -> None:
        self._active = active
        self._changed_at = self._clock()
        self.is_recorded = False
        self._on_change()
