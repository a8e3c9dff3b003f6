"""A request is sent again only if that is safe, useful and in time."""

from __future__ import annotations

import pytest

from exporter.ontap.errors import ConnectionFailed, RateLimited, Unauthorized
from exporter.ontap.requests.messages import MAX_ATTEMPTS, Request, pause_before_retry

GET = Request(method="GET", target="/api/cluster")
RESET = ConnectionFailed("reset", transient=True)


def test_pauses_double() -> None:
    pauses = [
        pause_before_retry(request=GET, error=RESET, attempt=attempt, remaining_seconds=60)
        for attempt in (1, 2)
    ]
    assert pauses == [0.5, 1.0]


def test_attempts_are_limited() -> None:
    assert pause_before_retry(request=GET, error=RESET, attempt=MAX_ATTEMPTS, remaining_seconds=60) is None


def test_a_deletion_is_never_sent_again() -> None:
    request = Request(method="DELETE", target="/api/cluster/software/packages/9.8")
    assert pause_before_retry(request=request, error=RESET, attempt=1, remaining_seconds=60) is None


@pytest.mark.parametrize("error", [Unauthorized("HTTP 401"), ConnectionFailed("refused")])
def test_a_permanent_failure_is_not_sent_again(error: Unauthorized | ConnectionFailed) -> None:
    assert pause_before_retry(request=GET, error=error, attempt=1, remaining_seconds=60) is None


def test_the_cluster_decides_on_the_pause_within_the_deadline() -> None:
    error = RateLimited("HTTP 429", transient=True, retry_after_seconds=7)
    assert pause_before_retry(request=GET, error=error, attempt=1, remaining_seconds=60) == 7
    assert pause_before_retry(request=GET, error=error, attempt=1, remaining_seconds=7) is None
