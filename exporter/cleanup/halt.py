"""The emergency brake: while it is on, no DELETE is sent. What ONTAP has accepted is still followed."""

from __future__ import annotations


class Halt:
    """Whether deleting is halted.

    Args:
        active: whether it is from the start.
    """

    def __init__(self, *, active: bool = False) -> None:
        self.active = active

    def engage(self) -> None:
        """Send no DELETE any more."""
        self.active = True

    def release(self) -> None:
        """Let runs delete again."""
        self.active = False
