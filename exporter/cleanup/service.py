"""Runs every policy on every cluster that it applies to, at its time, for as long as the journal is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import structlog

from exporter.access import ClusterAccess
from exporter.cleanup.board import CleanupBoard, PolicyStatus
from exporter.cleanup.deleter import Deleter
from exporter.cleanup.halt import Halt
from exporter.cleanup.journal import Journal, JournalError, open_journal
from exporter.cleanup.limits import Limits, Pace
from exporter.cleanup.records import Deletion, Run
from exporter.cleanup.report import report
from exporter.cleanup.rules import limits_of, rules_of, schedule_of
from exporter.cleanup.run import PolicyOnCluster, Runner
from exporter.config import CleanupConfig, PolicyConfig

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

REOPEN_SECONDS = 30.0
"""How long to wait before the journal is tried again, where another process holds it or it broke."""
KEPT_RUNS = 50
"""So many runs of each policy on each cluster are kept with their details; the totals are kept for ever."""
SHOWN_RUNS = 100
"""So many runs, of all policies and clusters together, are in the account."""
LONGEST_SLEEP_SECONDS = 60.0
"""After so long at most a wait looks at the wall clock again, which may have been set."""
_UNKNOWN_POLICY_LIMITS = Limits(
    return_timeout_seconds=0, job_timeout_seconds=1800.0, retry_busy_for_seconds=0.0
)
"""For what an earlier configuration's policy has left unended."""


class CleanupService:
    """Cleans the clusters of a configuration.

    Args:
        config: the cleanup section.
        accesses: every cluster, by name.
        board: shows what is going on.
        halt: stops all deleting at once.
        pace: how long it waits in between.
        wall_clock: gives Unix seconds.
    """

    def __init__(
        self,
        *,
        config: CleanupConfig,
        accesses: Mapping[str, ClusterAccess],
        board: CleanupBoard,
        halt: Halt,
        pace: Pace,
        wall_clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._accesses = accesses
        self._board = board
        self._halt = halt
        self._pace = pace
        self._wall_clock = wall_clock
        self._places = asyncio.Semaphore(config.max_concurrent_clusters)
        self._locks = {name: asyncio.Lock() for name in accesses}
        self._good_polls = {name: asyncio.Event() for name in accesses}
        self.journal: Journal | None = None
        self.problem = "the journal is not open yet"
        for policy, access in self._pairs():
            board.put(
                PolicyStatus(
                    cluster=access.name,
                    labels=access.config.labels,
                    policy=policy.name,
                    dry_run=policy.dry_run,
                )
            )

    def note_good_poll(self, cluster: str) -> None:
        """Take note that a cluster has had a good poll."""
        if (event := self._good_polls.get(cluster)) is not None:
            event.set()

    async def run(self) -> NoReturn:
        """Clean for ever; where the journal cannot be used, nothing is deleted until it can."""
        while True:
            try:
                async with open_journal(self._config.state) as journal:
                    self.journal, self.problem = journal, ""
                    log.info("cleanup has its journal")
                    await self._clean(journal)
            except* JournalError as group:
                problem, self.problem = self.problem, str(group.exceptions[0])
                tell = log.debug if self.problem == problem else log.error
                tell("cleanup has no journal, so nothing is deleted", error=self.problem)
            finally:
                self.journal = None
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # an error on the way out must not swallow it
            await asyncio.sleep(REOPEN_SECONDS)

    async def report(self) -> dict[str, Any]:
        """Return the whole account as a JSON document; without a journal, without the runs."""
        runs: tuple[Run, ...] = ()
        problem = self.problem
        if self.journal is not None:
            try:
                runs = await self.journal.recent_runs(SHOWN_RUNS)
            except JournalError as exc:
                problem = str(exc)
        return report(
            self._config.policies,
            self._board.statuses(),
            runs,
            halted=self._halt.active,
            problem=problem,
        )

    async def _clean(self, journal: Journal) -> None:
        """Bring to an end what is unended, then run every policy at its times, until the journal is lost."""
        await journal.end_interrupted_runs(now=self._wall_clock())
        self._board.with_totals(await journal.totals())
        self._board.durations = await journal.durations()
        unended = await journal.unended()
        runner = Runner(journal=journal, board=self._board, halt=self._halt, wall_clock=self._wall_clock)
        async with asyncio.TaskGroup() as group:
            resumed = {
                name: group.create_task(
                    self._resume(name, [one for one in unended if one.cluster == name], journal, runner),
                    name=f"resume cleanup of {name}",
                )
                for name in {deletion.cluster for deletion in unended}
            }
            for policy, access in self._pairs():
                group.create_task(
                    self._keep(policy, access, journal, runner, resumed.get(access.name)),
                    name=f"clean {access.name} by {policy.name}",
                )
            await journal.lost.wait()
            raise JournalError("the journal was lost")

    def _pairs(self) -> Iterator[tuple[PolicyConfig, ClusterAccess]]:
        """Give every policy with every cluster that it applies to."""
        for access in self._accesses.values():
            for policy in self._config.policies:
                if policy.applies_to(access.config):
                    yield policy, access

    def _deleter(self, access: ClusterAccess, policy: PolicyConfig | None, journal: Journal) -> Deleter:
        return Deleter(
            access=access,
            journal=journal,
            limits=_UNKNOWN_POLICY_LIMITS if policy is None else limits_of(policy),
            pace=self._pace,
            wall_clock=self._wall_clock,
        )

    async def _resume(
        self, name: str, deletions: Iterable[Deletion], journal: Journal, runner: Runner
    ) -> None:
        """Bring to an end what an earlier life of the program has begun on a cluster."""
        access = self._accesses.get(name)
        if access is None:
            log.warning("deletions on a cluster that is no longer configured stay unended", cluster=name)
            return
        policies = {policy.name: policy for policy in self._config.policies}
        async with self._locks[name]:
            for deletion in deletions:
                deleter = self._deleter(access, policies.get(deletion.policy), journal)
                key = (deletion.cluster, deletion.policy)
                with self._board.in_progress(key):
                    ended = await deleter.resume(deletion)
                runner.account(ended)
            await journal.end_interrupted_runs(cluster=name, now=self._wall_clock())
        self._board.with_totals(await journal.totals())
        self._board.durations = await journal.durations()

    async def _keep(
        self,
        policy: PolicyConfig,
        access: ClusterAccess,
        journal: Journal,
        runner: Runner,
        resumed: asyncio.Task[None] | None,
    ) -> NoReturn:
        """Run a policy on a cluster at its times."""
        subject = PolicyOnCluster(
            policy=policy.name, rules=rules_of(policy), dry_run=policy.dry_run, access=access
        )
        schedule = schedule_of(policy)
        deleter = self._deleter(access, policy, journal)
        if resumed is not None:
            await asyncio.wait({resumed})
        status = self._board.get(subject.key)
        last_started = status.totals.last_started_timestamp_seconds if status else None
        due = schedule.next_run(now=self._wall_clock(), last_started=last_started)
        while True:
            if due is None:
                await self._good_polls[access.name].wait()
                due = self._wall_clock()
            self._show_next_run(subject.key, due)
            await self._sleep_until(due)
            started = due
            if self._halt.active:
                log.warning(
                    "cleanup is halted, so a run is left out", cluster=access.name, policy=policy.name
                )
            else:
                async with self._locks[access.name], self._places:
                    started = self._wall_clock()
                    self._show_next_run(subject.key, schedule.after_run(started=started, ended=started))
                    await runner.run(subject, deleter)
                    self._board.durations = await journal.durations()
                    await journal.prune(cluster=access.name, keep_runs=KEPT_RUNS)
            ended = self._wall_clock()
            self._count_skipped(subject.key, schedule.skipped(started=due, ended=ended))
            due = schedule.after_run(started=started, ended=ended)

    async def _sleep_until(self, due: float) -> None:
        while (left := due - self._wall_clock()) > 0:  # noqa: ASYNC110 - the wall clock may be set
            await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))

    def _show_next_run(self, key: tuple[str, str], due: float) -> None:
        self._board.change(key, lambda status: replace(status, next_run_timestamp_seconds=due))

    def _count_skipped(self, key: tuple[str, str], count: int) -> None:
        if count:
            cluster, policy = key
            log.warning(
                "runs came due during a run, and are left out", cluster=cluster, policy=policy, count=count
            )
            self._board.change(key, lambda status: replace(status, skipped_runs=status.skipped_runs + count))
