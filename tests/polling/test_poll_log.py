"""The log has a line for each change of a cluster's state."""

from __future__ import annotations

from itertools import pairwise

from structlog.testing import capture_logs

from exporter.ontap.errors import BadResponse, Forbidden, Reason
from exporter.polling.board import PollFailure
from exporter.polling.poller import log_poll, log_unread_facts

GONE = PollFailure(reason=Reason.CONNECTION, message="refused")
SLOW = PollFailure(reason=Reason.TIMEOUT, message="not complete within the deadline")


def logged(*polls: PollFailure | None, last: PollFailure | None = None) -> list[tuple[str, str]]:
    """Return level and phrase of the lines for polls that end like this, without debug lines."""
    with capture_logs() as logs:
        for before, failure in pairwise((last, *polls)):
            log_poll("c1", failure, before=before)
    assert all(line["cluster"] == "c1" for line in logs)
    return [(line["log_level"], line["event"]) for line in logs if line["log_level"] != "debug"]


def test_a_failure_and_the_recovery_from_it_are_logged_once_each() -> None:
    assert logged(None, GONE, GONE, GONE, None, None) == [
        ("warning", "poll failed"),
        ("info", "cluster answers again"),
    ]


def test_another_reason_is_news() -> None:
    assert logged(GONE, SLOW) == [("warning", "poll failed")] * 2


def test_a_failure_that_an_earlier_poller_has_logged_is_not_logged_again() -> None:
    assert logged(GONE, GONE, last=GONE) == []
    assert logged(None, last=GONE) == [("info", "cluster answers again")]


def test_facts_that_cannot_be_read_are_logged_when_their_reasons_change() -> None:
    forbidden, broken = Forbidden("not authorized"), BadResponse("not JSON")
    unread = ((), (), (forbidden,), (forbidden,), (forbidden, broken), (), (forbidden,))
    with capture_logs() as logs:
        for before, errors in pairwise(unread):
            log_unread_facts("c1", errors, before=before)
    assert [line["error"] for line in logs] == [
        "not authorized",
        "not authorized; not JSON",
        "not authorized",
    ]
