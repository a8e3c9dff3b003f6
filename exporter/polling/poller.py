"""One cluster's endless loop: wait until a poll is due, poll, put the result on the board."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from traceback import format_exception
from typing import NoReturn

import structlog

from exporter.concurrency import is_being_cancelled
from exporter.ontap.access import ClusterAccess
from exporter.ontap.cluster_settings import ClusterSettings
from exporter.ontap.errors import LoginPaused, OntapError, Reason
from exporter.polling.board import Board, ClusterStatus, Poll, PollFailure
from exporter.polling.cluster_reading import Reading, read_cluster
from exporter.polling.due_times import DueTimes
from exporter.polling.limiter import PollLimiter

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Poller:
    """Polls one cluster for as long as it runs, and puts the results on the board.

    If the board has a status of the cluster at the same address, the poller goes on from there.
    """

    def __init__(
        self,
        *,
        access: ClusterAccess,
        board: Board,
        limiter: PollLimiter,
        wall_clock: Callable[[], float],
    ) -> None:
        cluster = access.config
        self.access = access
        self._board = board
        self._limiter = limiter
        self._wall_clock = wall_clock
        self._due_times = DueTimes.of(cluster.name, cluster.poll_interval.total_seconds())
        self._is_rescheduled = asyncio.Event()
        self._is_stopped = False
        self._last_good: Reading | None = None
        self._status = _first_status(cluster, board.get(cluster.name))
        board.put(self._status)

    def apply_configuration(self) -> None:
        """Use the access's current labels and times; poll at once if new credentials replace refused ones."""
        cluster = self.access.config
        status = self._status.configured_as(cluster)
        if status != self._status:
            self._status = status
            self._board.put(status)
        due_times = DueTimes.of(cluster.name, cluster.poll_interval.total_seconds())
        if due_times != self._due_times:
            self._due_times = due_times
            self._is_rescheduled.set()
        if self.access.has_untried_login(asyncio.get_running_loop().time()):
            self._is_rescheduled.set()

    def stop(self) -> None:
        """Put nothing more on the board, even if a running poll succeeds."""
        self._is_stopped = True

    async def run(self) -> NoReturn:
        """Poll at once, then whenever a poll is due, until cancelled."""
        clock = asyncio.get_running_loop().time
        lateness = self._board.lateness
        due = self._limiter.first_poll_due(clock())
        while True:
            if await self._is_rescheduled_before(due):
                now = clock()
                due = now if self.access.has_untried_login(now) else self._due_times.first_after(now)
                continue
            interval_seconds = self._due_times.interval_seconds
            lateness.woke(due=due, now=clock())
            if clock() >= self.access.account.polls_wait_until:
                async with AsyncExitStack() as stack:
                    with lateness.awaited(due=due, interval_seconds=interval_seconds):
                        await stack.enter_async_context(self._limiter.slot(silent=self._is_silent()))
                    lateness.started(due=due, now=clock(), interval_seconds=interval_seconds)
                    await self._poll()
            due, missed = self._due_times.after_poll(due, now=clock())
            lateness.missed += missed

    async def poll_once(self) -> None:
        """Poll once, as soon as the limiter allows."""
        async with self._limiter.slot(silent=False):
            await self._poll()

    async def _is_rescheduled_before(self, due: float) -> bool:
        """Wait until a poll is due; return True early if another configuration was applied."""
        try:
            async with asyncio.timeout_at(due):
                await self._is_rescheduled.wait()
        except TimeoutError:
            return False
        self._is_rescheduled.clear()
        return self._status.last_poll is not None

    def _is_silent(self) -> bool:
        """Say whether the last poll ended at its deadline."""
        failure = self._status.last_failure
        return failure is not None and failure.reason is Reason.TIMEOUT

    async def _poll(self) -> None:
        begun = asyncio.get_running_loop().time()
        self.access.client.clock_skew_seconds = None  # known only if an answer of this poll has a Date
        try:
            reading = await read_cluster(
                self.access,
                deadline=self.access.deadline(begun),
                last_good=self._last_good,
                was_good=self._status.up,
            )
            self._put_success(reading, begun)
        except LoginPaused as exc:
            # Nothing was sent. This counts as a poll only if no other failed poll is shown: the login may
            # have been refused to cleanup, or to a cluster with another name at the same address.
            if self._status.last_poll is None or self._status.up:
                self._put_failure(PollFailure(reason=exc.reason, message=str(exc)), begun)
        except OntapError as exc:
            self._put_failure(PollFailure(reason=exc.reason, message=str(exc)), begun)
        except (Exception, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and self._is_being_cancelled():
                raise
            redact = self.access.client.credentials.redact
            message = f"{type(exc).__name__}: {redact(str(exc))}"
            self._put_failure(
                PollFailure(reason=Reason.INTERNAL_ERROR, message=message),
                begun,
                traceback=redact("".join(format_exception(exc))),
            )

    def _is_being_cancelled(self) -> bool:
        """Say whether somebody has cancelled this poller, not only something that it has awaited."""
        return self._is_stopped or is_being_cancelled()

    def _put_success(self, reading: Reading, begun: float) -> None:
        poll = self._ended(begun, failure=None)
        status = self._status.after_success(poll, reading.inventory)
        self._board.put(status)
        log_poll(status.name, None, before=self._status.last_failure)
        log_unread_facts(
            status.name, reading.unread, before=self._last_good.unread if self._last_good else ()
        )
        self._status, self._last_good = status, reading

    def _put_failure(self, failure: PollFailure, begun: float, *, traceback: str = "") -> None:
        poll = self._ended(begun, failure=failure)
        log_poll(self._status.name, failure, before=self._status.last_failure, traceback=traceback)
        self._status = self._status.after_failure(poll, failure)
        self._board.put(self._status)

    def _ended(self, begun: float, *, failure: PollFailure | None) -> Poll:
        """Return a poll that has ended, or raise CancelledError if the poller was stopped."""
        if self._is_stopped:
            raise asyncio.CancelledError
        duration_seconds = asyncio.get_running_loop().time() - begun
        self._board.poll_durations.add(duration_seconds)
        client = self.access.client
        return Poll(
            ended_timestamp_seconds=self._wall_clock(),
            duration_seconds=duration_seconds,
            failure=failure,
            clock_skew_seconds=client.clock_skew_seconds if failure is None else None,
            certificate_expiry_timestamp_seconds=client.certificate_expiry_timestamp_seconds,
        )


def _first_status(cluster: ClusterSettings, known: ClusterStatus | None) -> ClusterStatus:
    """Return the status to begin with: the known one, or an empty one if the address has changed."""
    if known is not None and known.address == cluster.endpoint.origin:
        return known.configured_as(cluster)
    return ClusterStatus(
        name=cluster.name,
        address=cluster.endpoint.origin,
        labels=cluster.labels,
        stale_after_seconds=cluster.stale_after.total_seconds(),
    )


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
