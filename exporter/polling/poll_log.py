"""Logs how one cluster's polls end: a line for each change, and fewer lines if there are many changes."""

from __future__ import annotations

from collections import deque

import structlog

from exporter.ontap.errors import OntapError, Reason
from exporter.polling.board import PollFailure

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LOGGED_CHANGES = 6
"""How many changes within :data:`STEADY_SECONDS` are logged before the cluster must be steady again."""
STEADY_SECONDS = 600.0
"""A cluster is steady if its polls have ended alike for this long."""


class PollLog:
    """Logs the polls of one cluster.

    Args:
        cluster: its configured name.
        last: the failure of the last poll, which is logged already; None if it was good, or if there was
            none.
    """

    def __init__(self, cluster: str, last: PollFailure | None) -> None:
        self._cluster = cluster
        self._reason: Reason | None = None if last is None else last.reason
        self._changes: deque[float] = deque(maxlen=LOGGED_CHANGES)
        self._unlogged = 0
        self._unread: frozenset[str] = frozenset()

    def log_poll(self, failure: PollFailure | None, now: float, *, traceback: str = "") -> None:
        """Log the end of a poll if the poll before ended differently.

        Args:
            failure: why it failed; None if it was good.
            now: seconds of any one clock.
            traceback: of our own mistake that made it fail, without secrets; empty: there is none.
        """
        reason = None if failure is None else failure.reason
        if reason == self._reason:
            if failure is not None:
                log.debug("poll failed again", **self._why(failure))
            self._log_steady(now)
            return
        self._reason = reason
        if failure is not None and traceback:
            log.error("poll failed", **self._why(failure), exception=traceback)
        is_often = len(self._changes) == LOGGED_CHANGES and now - self._changes[0] < STEADY_SECONDS
        self._changes.append(now)
        if is_often or self._unlogged:
            if not self._unlogged:
                log.warning(
                    "cluster fails and recovers often; further changes are not logged until it is steady",
                    cluster=self._cluster,
                )
            self._unlogged += 1
        elif failure is None:
            log.info("cluster answers again", cluster=self._cluster)
        elif not traceback:
            log.warning("poll failed", **self._why(failure))

    def log_unread_facts(self, errors: tuple[OntapError, ...]) -> None:
        """Log that facts cannot be read, unless the last poll failed to read them for the same reasons."""
        reasons = frozenset(str(error.reason) for error in errors)
        if reasons and reasons != self._unread:
            log.warning(
                "facts beside the listing cannot be read",
                cluster=self._cluster,
                error="; ".join(map(str, errors)),
            )
        self._unread = reasons

    def _log_steady(self, now: float) -> None:
        if self._unlogged and now - self._changes[-1] >= STEADY_SECONDS:
            log.info(
                "cluster is steady again",
                cluster=self._cluster,
                up=self._reason is None,
                reason=None if self._reason is None else str(self._reason),
                changes_not_logged=self._unlogged,
            )
            self._unlogged = 0

    def _why(self, failure: PollFailure) -> dict[str, str]:
        return {"cluster": self._cluster, "reason": str(failure.reason), "error": failure.message}
