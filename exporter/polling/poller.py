"""One cluster's endless loop: wait for its slot, poll, put the result on the board."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NoReturn

from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import OntapError, Reason, Unauthorized
from exporter.ontap.refusals import NOTHING_SENT
from exporter.polling.board import Board, ClusterStatus, Poll, PollFailure
from exporter.polling.limiter import PollLimiter
from exporter.polling.poll_log import PollLog
from exporter.polling.reading import Kept, Reading, read_cluster
from exporter.polling.slots import next_slot, phase_seconds

LONGEST_REQUESTED_PAUSE_SECONDS = 3600.0
"""The longest Retry-After that is heeded; a cluster that asks for more is asked again all the same."""


class Poller:
    """Polls one cluster for as long as it runs.

    Args:
        access: what to poll, and how it is reached.
        board: takes the results.
        limiter: limits how many polls run at once.
        wall_clock: gives Unix seconds.
        known: what an earlier poller has learnt of the same cluster.
    """

    def __init__(
        self,
        *,
        access: ClusterAccess,
        board: Board,
        limiter: PollLimiter,
        wall_clock: Callable[[], float],
        known: ClusterStatus | None = None,
    ) -> None:
        cluster = access.config
        self._access = access
        self._board = board
        self._limiter = limiter
        self._wall_clock = wall_clock
        self._interval_seconds = cluster.poll_interval.total_seconds()
        self._phase_seconds = phase_seconds(cluster.name, self._interval_seconds)
        self._is_rescheduled = asyncio.Event()
        self._is_stopped = False
        self._kept: Kept | None = None
        self._status = _first_status(access, known)
        last_poll = self._status.last_poll
        self._poll_log = PollLog(cluster.name, last_poll.failure if last_poll else None)
        board.put(self._status)

    def apply_configuration(self) -> None:
        """Take over the labels and times that the access's configuration has now."""
        cluster = self._access.config
        stale_after_seconds = cluster.stale_after.total_seconds()
        if (self._status.labels, self._status.stale_after_seconds) != (cluster.labels, stale_after_seconds):
            self._status = self._status.configured_as(
                labels=cluster.labels, stale_after_seconds=stale_after_seconds
            )
            self._board.put(self._status)
        interval_seconds = cluster.poll_interval.total_seconds()
        if interval_seconds != self._interval_seconds:
            self._interval_seconds = interval_seconds
            self._phase_seconds = phase_seconds(cluster.name, interval_seconds)
            self._is_rescheduled.set()

    def stop(self) -> None:
        """Put nothing on the board any more, whatever a poll that is going on still gives."""
        self._is_stopped = True

    async def run(self) -> NoReturn:
        """Poll at once, then at every slot; only a bug or a cancellation ends it."""
        clock = asyncio.get_running_loop().time
        lateness = self._board.lateness
        due = self._limiter.first_poll_due(clock())
        while True:
            if await self._is_rescheduled_before(due):
                due = self._slot_after(clock())
                continue
            if clock() >= self._access.asked_to_wait_until and self._access.accepts_login(clock()):
                async with AsyncExitStack() as stack:
                    with lateness.awaited(due=due, interval_seconds=self._interval_seconds):
                        await stack.enter_async_context(self._limiter.slot(silent=self._is_silent()))
                    lateness.started(due=due, now=clock(), interval_seconds=self._interval_seconds)
                    await self._poll()
            elif self._status.last_poll is None:
                self._leave_out()
            following = self._slot_after(due)
            due = self._slot_after(max(clock(), due))
            lateness.missed += round((due - following) / self._interval_seconds)

    async def _is_rescheduled_before(self, due: float) -> bool:
        """Wait for a slot; say whether the configuration has moved it meanwhile."""
        try:
            async with asyncio.timeout_at(due):
                await self._is_rescheduled.wait()
        except TimeoutError:
            return False
        self._is_rescheduled.clear()
        return self._status.last_poll is not None

    def _slot_after(self, now: float) -> float:
        return next_slot(
            after=now, phase_seconds=self._phase_seconds, interval_seconds=self._interval_seconds
        )

    def _is_silent(self) -> bool:
        """Say whether the last poll ended at its deadline."""
        poll = self._status.last_poll
        return poll is not None and poll.failure is not None and poll.failure.reason is Reason.TIMEOUT

    async def _poll(self) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        reading: Reading | None = None
        failure: PollFailure | None = None
        try:
            reading = await read_cluster(
                self._access.client,
                self._access.query,
                deadline=self._access.deadline(begun),
                with_facts=begun >= self._access.fact_refusals.paused_until,
                kept=self._kept,
                facts_may_serve=self._status.up,
            )
        except OntapError as exc:
            failure = PollFailure(reason=exc.reason, message=str(exc))
            self._handle(exc, clock())
        poll = Poll(
            ended_timestamp_seconds=self._wall_clock(), duration_seconds=clock() - begun, failure=failure
        )
        if self._is_stopped:
            raise asyncio.CancelledError
        self._poll_log.log_poll(failure, clock())
        if failure is not None:
            self._status = self._status.after_failure(poll, failure)
        elif reading is not None:
            self._access.refusals.accepted()
            self._handle_facts(reading, clock())
            self._kept = reading.kept
            self._status = self._status.after_success(poll, reading.inventory)
        self._board.put(self._status)

    def _leave_out(self) -> None:
        """Show why a cluster is not polled of which nothing else is known yet."""
        failure = PollFailure(reason=Reason.UNAUTHORIZED, message=NOTHING_SENT)
        self._poll_log.log_poll(failure, asyncio.get_running_loop().time())
        poll = Poll(ended_timestamp_seconds=self._wall_clock(), duration_seconds=0.0, failure=failure)
        self._status = self._status.after_failure(poll, failure)
        self._board.put(self._status)

    def _handle(self, error: OntapError, now: float) -> None:
        """Keep away for as long as the failure demands."""
        if isinstance(error, Unauthorized):
            self._access.note_refusal(now)
        elif error.retry_after_seconds is not None:
            pause = min(error.retry_after_seconds, LONGEST_REQUESTED_PAUSE_SECONDS)
            self._access.asked_to_wait_until = now + pause

    def _handle_facts(self, reading: Reading, now: float) -> None:
        """Remember refused facts, and tell of those that cannot be read."""
        if reading.facts_refused:
            self._access.fact_refusals.add(now)
        elif now >= self._access.fact_refusals.paused_until:
            self._access.fact_refusals.accepted()
        self._poll_log.log_unread_facts(reading.unread)


def _first_status(access: ClusterAccess, known: ClusterStatus | None) -> ClusterStatus:
    """Return what is known of a cluster as its configuration now has it; of another address, nothing is."""
    cluster = access.config
    stale_after_seconds = cluster.stale_after.total_seconds()
    if known is not None and known.address == cluster.endpoint.origin:
        return known.configured_as(labels=cluster.labels, stale_after_seconds=stale_after_seconds)
    return ClusterStatus(
        name=cluster.name,
        address=cluster.endpoint.origin,
        labels=cluster.labels,
        stale_after_seconds=stale_after_seconds,
    )
