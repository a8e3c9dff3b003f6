"""One policy on one cluster: runs it at its times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from exporter.cleanup.cleanup_board import CleanupBoard, Key
from exporter.cleanup.deleter import Deleter
from exporter.cleanup.journal import Journal
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.rules import rules_of, schedule_of
from exporter.cleanup.run import PolicyOnCluster, Runner
from exporter.config import PolicyConfig
from exporter.ontap.access import ClusterAccess

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KEPT_RUNS = 50
"""So many runs of each policy on each cluster are kept with their details; the totals are kept for ever."""
LONGEST_SLEEP_SECONDS = 60.0
"""After so long at most a wait looks at the wall clock again, which may have been set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a scheduler shares with the others.

    Attributes:
        journal: remembers the runs.
        runner: makes them.
        board: shows them.
        kill_switch: stops all deleting at once.
        turn: gives, for a cluster, what is held during a run on it.
        wall_clock: gives Unix seconds.
    """

    journal: Journal
    runner: Runner
    board: CleanupBoard
    kill_switch: KillSwitch
    turn: Callable[[str], AbstractAsyncContextManager[object]]
    wall_clock: Callable[[], float]


class PolicyScheduler:
    """Runs a policy on a cluster at its times.

    Args:
        policy: what to run.
        access: where.
        deleter: deletes there.
        good_poll: set once the cluster has had a good poll.
        services: what it shares with the others.
    """

    def __init__(
        self,
        *,
        policy: PolicyConfig,
        access: ClusterAccess,
        deleter: Deleter,
        good_poll: asyncio.Event,
        services: Services,
    ) -> None:
        self._subject = PolicyOnCluster(
            policy=policy.name, rules=rules_of(policy), dry_run=policy.dry_run, access=access
        )
        self._schedule = schedule_of(policy)
        self._deleter = deleter
        self._good_poll = good_poll
        self._services = services

    async def keep(self, *, after: asyncio.Task[None] | None) -> NoReturn:
        """Run the policy for ever, once what an earlier life has left on the cluster is at its end."""
        now = self._services.wall_clock
        if after is not None:
            await asyncio.wait({after})
        status = self._services.board.get(self._key)
        last_started = status.totals.last_started_timestamp_seconds if status else None
        due = self._schedule.next_run(now=now(), last_started=last_started)
        while True:
            if due is None:
                await self._good_poll.wait()
                due = now()
            self._show_next_run(due)
            while (left := due - now()) > 0:  # noqa: ASYNC110 - the wall clock may be set
                await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))
            started = await self._run(due)
            ended = now()
            self._count_skipped(self._schedule.skipped(started=due, ended=ended))
            due = self._schedule.after_run(started=started, ended=ended)

    async def _run(self, due: float) -> float:
        """Make the run that is due, unless cleanup is halted; return when it started."""
        services, (cluster, policy) = self._services, self._key
        if services.kill_switch.active:
            log.warning("cleanup is halted, so a run is left out", cluster=cluster, policy=policy)
            return due
        async with services.turn(cluster):
            started = services.wall_clock()
            self._show_next_run(self._schedule.after_run(started=started, ended=started))
            await services.runner.run(self._subject, self._deleter)
            services.board.durations = await services.journal.durations()
            await services.journal.prune(cluster=cluster, keep_runs=KEPT_RUNS)
        return started

    @property
    def _key(self) -> Key:
        return self._subject.key

    def _show_next_run(self, due: float) -> None:
        self._services.board.change(self._key, lambda status: replace(status, next_run_timestamp_seconds=due))

    def _count_skipped(self, count: int) -> None:
        if count:
            cluster, policy = self._key
            log.warning(
                "runs came due during a run, and are left out", cluster=cluster, policy=policy, count=count
            )
            self._services.board.change(
                self._key, lambda status: replace(status, skipped_runs=status.skipped_runs + count)
            )
