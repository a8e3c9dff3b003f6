"""Logs how the polls of a cluster end: one line for each change."""

from __future__ import annotations

import structlog

from exporter.ontap.errors import OntapError
from exporter.polling.board import PollFailure

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def log_poll(
    cluster: str, failure: PollFailure | None, *, before: PollFailure | None, traceback: str = ""
) -> None:
    """Log the end of a poll, whose failure is None if it was good; ``before`` is that of the poll before.

    The traceback, of a mistake of ours, holds no secrets.
    """
    is_same = (failure and failure.reason) == (before and before.reason)
    if failure is None:
        if not is_same:
            log.info("cluster answers again", cluster=cluster)
        return
    why = {"cluster": cluster, "reason": str(failure.reason), "error": failure.message}
    if is_same:
        log.debug("poll failed again", **why)
    elif traceback:
        log.error("poll failed", **why, exception=traceback)
    else:
        log.warning("poll failed", **why)


def log_unread_facts(cluster: str, errors: tuple[OntapError, ...], *, before: tuple[OntapError, ...]) -> None:
    """Log that facts cannot be read, unless the last good poll could not read them for the same reasons."""
    if errors and {error.reason for error in errors} != {error.reason for error in before}:
        log.warning(
            "facts beside the listing cannot be read", cluster=cluster, error="; ".join(map(str, errors))
        )
