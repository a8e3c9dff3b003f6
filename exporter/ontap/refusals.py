"""How long to leave a cluster alone that refuses the credentials. No I/O; times are seconds of any one clock.

ONTAP locks an account for an hour or more after about five wrong passwords.
"""

from __future__ import annotations

_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0
_DOUBLINGS = 6
"""Sixty seconds doubled so often are more than an hour."""


def pause_after_unauthorized(refusals: int) -> float:
    """Return how long not to ask again after so many refusals in a row: 1 minute, doubling to 1 hour."""
    doublings = min(refusals - 1, _DOUBLINGS)
    return min(_FIRST_PAUSE_SECONDS * float(2**doublings), _LONGEST_PAUSE_SECONDS)


class Refusals:
    """How often in a row a cluster refused the credentials, and until when it is left alone for that."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self.paused_until = float("-inf")

    def add(self, now: float) -> None:
        """Count a refusal."""
        self.in_a_row += 1
        self.paused_until = now + pause_after_unauthorized(self.in_a_row)

    def clear(self) -> None:
        """Forget the refusals: the credentials were accepted."""
        self.in_a_row = 0
        self.paused_until = float("-inf")
