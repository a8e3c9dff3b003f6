"""When a request may be sent again within one poll. No I/O, no clock."""

from __future__ import annotations

from exporter.ontap.errors import OntapError
from exporter.ontap.wire import Request

MAX_ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5


def pause_before_retry(
    *, request: Request, error: OntapError, attempt: int, remaining_seconds: float, jitter: float
) -> float | None:
    """Return the seconds to wait before the next attempt, or None to give up.

    Only a GET that failed for a passing reason (a reset, HTTP 429 or 503) is sent again, at most
    ``MAX_ATTEMPTS`` times in all. The pause is the one that the cluster asks for, else it doubles from half a
    second; a pause that would outlast the deadline is not begun.

    Args:
        request: what was sent.
        error: how it failed.
        attempt: how often it has been sent, from 1.
        remaining_seconds: what is left of the deadline.
        jitter: a random number from 0 to 1; stretches a pause of our own by up to half.
    """
    if request.method != "GET" or not error.transient or attempt >= MAX_ATTEMPTS:
        return None
    pause = error.retry_after_seconds
    if pause is None:
        pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * (1 + jitter / 2)
    return pause if pause < remaining_seconds else None
