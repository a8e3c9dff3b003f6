"""The log has a line for each change of a cluster's state, and few if it changes all the time."""

from __future__ import annotations

from structlog.testing import capture_logs

from exporter.ontap.errors import BadResponse, Forbidden, Reason
from exporter.polling.board import PollFailure
from exporter.polling.poll_log import LOGGED_CHANGES, STEADY_SECONDS, PollLog

GONE = PollFailure(reason=Reason.CONNECTION, message="refused")
SLOW = PollFailure(reason=Reason.TIMEOUT, message="not complete within the deadline")


def logged(
    *polls: tuple[float, PollFailure | None], last: PollFailure | None = None
) -> list[tuple[str, str]]:
    """Return level and phrase of the lines for polls that end at these times, without debug lines."""
    poll_log = PollLog("c1", last)
    with capture_logs() as logs:
        for now, failure in polls:
            poll_log.log_poll(failure, now)
    assert all(line["cluster"] == "c1" for line in logs)
    return [(line["log_level"], line["event"]) for line in logs if line["log_level"] != "debug"]


def test_a_failure_and_the_recovery_from_it_are_logged_once_each() -> None:
    assert logged((0, None), (1, GONE), (2, GONE), (3, GONE), (4, None), (5, None)) == [
        ("warning", "poll failed"),
        ("info", "cluster answers again"),
    ]


def test_another_reason_is_news() -> None:
    assert logged((0, GONE), (1, SLOW)) == [("warning", "poll failed")] * 2


def test_a_failure_that_an_earlier_poller_has_logged_is_not_logged_again() -> None:
    assert logged((0, GONE), (1, GONE), last=GONE) == []
    assert logged((0, None), last=GONE) == [("info", "cluster answers again")]


def test_a_cluster_that_flaps_is_logged_once_until_it_is_steady() -> None:
    flaps = [(float(second), GONE if second % 2 else None) for second in range(1, 400)]
    steady = 399 + STEADY_SECONDS
    lines = logged(*flaps, (steady, GONE), (steady + 1, None))
    assert lines[:LOGGED_CHANGES] == [("warning", "poll failed"), ("info", "cluster answers again")] * 3
    assert lines[LOGGED_CHANGES:] == [
        ("warning", "cluster fails and recovers often; further changes are not logged until it is steady"),
        ("info", "cluster is steady again"),
        ("info", "cluster answers again"),
    ]


def test_the_log_reports_a_steady_cluster_and_the_changes_that_were_not_logged() -> None:
    poll_log = PollLog("c1", None)
    with capture_logs() as logs:
        for second in range(1, 12):
            poll_log.log_poll(GONE if second % 2 else None, second)
        poll_log.log_poll(GONE, 11 + STEADY_SECONDS)
    (line,) = [line for line in logs if line["event"] == "cluster is steady again"]
    assert (line["up"], line["reason"], line["changes_not_logged"]) == (False, "connection", 5)


def test_rare_changes_are_logged_for_ever() -> None:
    rare = [(number * STEADY_SECONDS / 2, GONE if number % 2 else None) for number in range(1, 40)]
    assert len(logged(*rare)) == 39


def test_facts_that_cannot_be_read_are_logged_when_their_reasons_change() -> None:
    poll_log = PollLog("c1", None)
    forbidden, broken = Forbidden("not authorized"), BadResponse("not JSON")
    with capture_logs() as logs:
        for errors in ((), (forbidden,), (forbidden,), (forbidden, broken), (), (forbidden,)):
            poll_log.log_unread_facts(errors)
    assert [line["error"] for line in logs] == [
        "not authorized",
        "not authorized; not JSON",
        "not authorized",
    ]
