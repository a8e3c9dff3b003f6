"""The pause after an account has refused credentials. No I/O; times are seconds of any one clock.

ONTAP locks an account for an hour or more after about five wrong passwords.
"""

from __future__ import annotations

from collections.abc import Hashable

NOTHING_SENT = "the credentials were refused a short while ago, so nothing was sent"
FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 3600.0
REMEMBERED_SECONDS = 3600.0
"""How long a refused secret is not tried again without a pause; ONTAP counts wrong passwords this long."""
SECRETS_TRIED_AT_ONCE = 3
"""How many different secrets may be sent without a pause: fewer than would lock an account."""
_DOUBLINGS = 6
"""60 s doubled this often are more than an hour."""


class Refusals:
    """How often in a row an account has refused credentials, and until when they are not sent again.

    The first pause is a minute; each further refusal doubles it, up to an hour.

    Attributes:
        in_a_row: refusals since credentials were last accepted.
        paused_until: until then, only credentials that were not refused are sent.
    """

    def __init__(self, *, first_pause_seconds: float = FIRST_PAUSE_SECONDS) -> None:
        self.in_a_row = 0
        self.paused_until = float("-inf")
        self._first_pause_seconds = first_pause_seconds
        self._refused: dict[Hashable, float] = {}

    def add(self, now: float, credentials: Hashable = None) -> None:
        """Count a refusal; ``credentials`` is None if nothing could be sent."""
        self.in_a_row += 1
        doublings = min(self.in_a_row - 1, _DOUBLINGS)
        self.paused_until = now + min(self._first_pause_seconds * 2**doublings, LONGEST_PAUSE_SECONDS)
        if credentials is not None:
            self._refused[credentials] = now

    def accepted(self) -> None:
        """Forget the refusals: the account has accepted credentials, so ONTAP counts from 0 again."""
        self.in_a_row = 0
        self.paused_until = float("-inf")
        self._refused.clear()

    def allows(self, credentials: Hashable, now: float) -> bool:
        """Say whether credentials may be sent: the pause is over, or they were not refused in the last hour.

        During a pause, only a few different ones may, because ONTAP locks the account after some refusals;
        None, for those that cannot be read, never are.
        """
        if now >= self.paused_until:
            return True
        self._refused = {one: then for one, then in self._refused.items() if now - then < REMEMBERED_SECONDS}
        are_new = credentials is not None and credentials not in self._refused
        return are_new and len(self._refused) < SECRETS_TRIED_AT_ONCE

    def must_be_remembered(self, now: float) -> bool:
        """Say whether the refusals must be remembered although the account is not used."""
        return bool(self.in_a_row) and now < self.paused_until + REMEMBERED_SECONDS
