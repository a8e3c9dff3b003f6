"""How long to leave a cluster alone that refuses the credentials. No I/O; times are seconds of any one clock.

ONTAP locks an account for an hour or more after about five wrong passwords.
"""

from __future__ import annotations

NOTHING_SENT = "the credentials were refused a short while ago, so nothing was sent"
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0
REMEMBERED_SECONDS = 3600.0
"""For so long a refused secret is not tried at once again; ONTAP counts for as long by default."""
SECRETS_TRIED_AT_ONCE = 3
"""So many different secrets may be sent without a pause, fewer than lock an account."""
_DOUBLINGS = 6
"""Sixty seconds doubled so often are more than an hour."""


def pause_after_unauthorized(refusals: int) -> float:
    """Return how long not to ask again after so many refusals in a row: 1 minute, doubling to 1 hour."""
    doublings = min(refusals - 1, _DOUBLINGS)
    return min(_FIRST_PAUSE_SECONDS * float(2**doublings), _LONGEST_PAUSE_SECONDS)


class Refusals:
    """How often in a row an account refused its credentials, and until when it is left alone for that.

    Attributes:
        in_a_row: refusals since the last acceptance.
        paused_until: before then, nothing is sent.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self.paused_until = float("-inf")
        self._refused: dict[bytes, float] = {}

    def add(self, now: float, secret: bytes = b"") -> None:
        """Count a refusal.

        Args:
            now: when it came.
            secret: stands for what was refused; nothing where that is not known.
        """
        self.in_a_row += 1
        self.paused_until = now + pause_after_unauthorized(self.in_a_row)
        if secret:
            self._refused[secret] = now

    def accepted(self) -> None:
        """Forget the refusals: the account has let somebody in, and counts from 0 again."""
        self.in_a_row = 0
        self.paused_until = float("-inf")
        self._refused.clear()

    def may_try(self, secret: bytes, now: float) -> bool:
        """Say whether other credentials than those refused last may be sent at once.

        Some that were refused within the hour are no other ones, and so many different ones may not follow
        each other that the account comes near its limit.
        """
        self._refused = {one: then for one, then in self._refused.items() if now - then < REMEMBERED_SECONDS}
        return secret not in self._refused and len(self._refused) < SECRETS_TRIED_AT_ONCE

    def outlasts(self, now: float) -> bool:
        """Say whether there is something to remember of an account that nobody uses at the moment."""
        return bool(self.in_a_row) and now < self.paused_until + REMEMBERED_SECONDS
