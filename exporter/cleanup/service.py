"""Keeps every policy on every cluster that it applies to, for as long as the journal is ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import structlog

from exporter.cleanup.cleanup_board import CleanupBoard, Key, PolicyStatus
from exporter.cleanup.deleter import Deleter
from exporter.cleanup.journal import Journal, JournalError, open_journal
from exporter.cleanup.kill_switch import KillSwitch
from exporter.cleanup.limits import Limits, Pace
from exporter.cleanup.policy_scheduler import PolicyScheduler, Services
from exporter.cleanup.records import Deletion, Run
from exporter.cleanup.recovery import Recovery, concerned_by, is_taken_over, others_at
from exporter.cleanup.report import report
from exporter.cleanup.rules import limits_of
from exporter.cleanup.run import Runner
from exporter.config import CleanupConfig, PolicyConfig
from exporter.ontap.access import ClusterAccess

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

REOPEN_SECONDS = 30.0
"""How long to wait before the journal is tried again, where another process holds it or it broke."""
SHOWN_RUNS = 100
"""So many runs, of all policies and clusters together, are in the account."""
_UNKNOWN_POLICY_LIMITS = Limits(
    return_timeout_seconds=0, job_timeout_seconds=1800.0, retry_busy_for_seconds=0.0
)
"""For what an earlier configuration's policy has left unended."""


class CleanupService:
    """Cleans the clusters of a configuration, which may change meanwhile.

    Args:
        config: the cleanup section.
        accesses: every cluster, by name.
        board: shows what is going on.
        kill_switch: stops all deleting at once.
        pace: how long it waits in between.
        wall_clock: gives Unix seconds.
    """

    def __init__(
        self,
        *,
        config: CleanupConfig,
        accesses: Mapping[str, ClusterAccess],
        board: CleanupBoard,
        kill_switch: KillSwitch,
        pace: Pace,
        wall_clock: Callable[[], float],
    ) -> None:
        self._board = board
        self._kill_switch = kill_switch
        self._pace = pace
        self._wall_clock = wall_clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._good_polls: dict[str, asyncio.Event] = {}
        self._unanswered: dict[int, float] = {}
        self._kept: dict[Key, _Kept] = {}
        self._resuming: dict[str, _Resuming] = {}
        self._changed = asyncio.Event()
        self.journal: Journal | None = None
        self.problem = "the journal is not open yet"
        self._config = config
        self._accesses: Mapping[str, ClusterAccess] = {}
        self._limiter = asyncio.Semaphore(config.max_concurrent_clusters)
        self.configure(config, accesses)

    def configure(self, config: CleanupConfig, accesses: Mapping[str, ClusterAccess]) -> None:
        """Clean by this configuration from now on; what it says of the state is not heeded.

        A policy on a cluster is left alone where neither the policy nor the cluster's access has changed.
        Elsewhere a run that is going on ends here: nothing more is deleted by the old rules, and what ONTAP
        has accepted is followed to its end. Everything that is no longer configured vanishes from the board.
        """
        if config.max_concurrent_clusters != self._config.max_concurrent_clusters:
            self._limiter = asyncio.Semaphore(config.max_concurrent_clusters)
        self._config, self._accesses = config, accesses
        for name in accesses:
            self._locks.setdefault(name, asyncio.Lock())
            self._good_polls.setdefault(name, asyncio.Event())
        for gone in self._good_polls.keys() - accesses.keys():
            del self._good_polls[gone]
        wanted = {(access.name, policy.name): (policy, access) for policy, access in self._pairs()}
        for key, kept in self._kept.items():
            # Once only: what ends already is recording what it has sent.
            if wanted.get(key) != (kept.policy, kept.access) and not kept.task.cancelling():
                kept.task.cancel()
        for name, resuming in self._resuming.items():
            if accesses.get(name) is not resuming.access and not resuming.task.cancelling():
                resuming.task.cancel()
        for policy, access in wanted.values():
            self._show(policy, access)
        self._board.keep(wanted)
        self._changed.set()

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
            halted=self._kill_switch.active,
            problem=problem,
        )

    async def _clean(self, journal: Journal) -> NoReturn:
        """Bring to an end what is unended, then keep every policy, until the journal is lost."""
        await journal.end_interrupted_runs(now=self._wall_clock())
        self._board.durations = await journal.durations()
        runner = Runner(
            journal=journal, board=self._board, kill_switch=self._kill_switch, wall_clock=self._wall_clock
        )
        self._kept, self._resuming = {}, {}
        recovery = Recovery(
            journal=journal,
            runner=runner,
            board=self._board,
            pauses=self._pace.look,
            wall_clock=self._wall_clock,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_lost(journal), name="watch the journal")
            services = Services(
                journal=journal,
                runner=runner,
                board=self._board,
                kill_switch=self._kill_switch,
                turn=self._turn,
                wall_clock=self._wall_clock,
            )
            known: Mapping[str, ClusterAccess] = {}
            while True:
                self._changed.clear()
                stopped = await self._reap(journal)
                known = await self._keep_all(group, services, recovery, known, stopped)
                await self._changed.wait()

    async def _reap(self, journal: Journal) -> frozenset[str]:
        """Wait for what the configuration has stopped; return the clusters on which that was."""
        stopped = {key: kept.task for key, kept in self._kept.items() if kept.task.cancelling()}
        unresumed = {name: one.task for name, one in self._resuming.items() if one.task.cancelling()}
        if tasks := {*stopped.values(), *unresumed.values()}:
            await asyncio.wait(tasks)
        for key in stopped:
            del self._kept[key]
        self._resuming = {name: one for name, one in self._resuming.items() if not one.task.done()}
        names = frozenset(cluster for cluster, _ in stopped) | unresumed.keys()
        for name in names - self._accesses.keys():
            await journal.end_interrupted_runs(cluster=name, now=self._wall_clock())
        for name in self._locks.keys() - self._accesses.keys() - {cluster for cluster, _ in self._kept}:
            del self._locks[name]
        return names

    async def _keep_all(
        self,
        group: asyncio.TaskGroup,
        services: Services,
        recovery: Recovery,
        known: Mapping[str, ClusterAccess],
        stopped: frozenset[str],
    ) -> Mapping[str, ClusterAccess]:
        """Start what is configured and not going on; return the clusters that this was done for.

        Args:
            group: owns the tasks.
            services: what schedulers share.
            recovery: brings to an end what is unended.
            known: the clusters that were looked after so far.
            stopped: clusters on which a run may have been cut short.
        """
        unended = await services.journal.unended()
        totals = await services.journal.totals()
        # From here on nothing waits, so that this is all of one configuration.
        accesses = self._accesses
        concerned, nowhere = concerned_by(unended, accesses, known)
        for name in sorted(nowhere):
            if name in known or not known:
                log.warning("deletions on a cluster that is no longer configured stay unended", cluster=name)
        for name, access in accesses.items():
            if name in stopped or name in concerned:
                if (earlier := self._resuming.get(name)) is not None and not earlier.task.cancelling():
                    earlier.task.cancel()  # it would go on with an access that may no longer count
                task = group.create_task(
                    self._resume(access, services.journal, recovery), name=f"resume cleanup of {name}"
                )
                self._resuming[name] = _Resuming(access=access, task=task)
        self._board.with_totals(totals, wanted=lambda status: not status.remembered)
        for policy, access in self._pairs():
            key = (access.name, policy.name)
            if key not in self._kept:
                self._kept[key] = self._keep(group, policy, access, services)
        return accesses

    def _keep(
        self, group: asyncio.TaskGroup, policy: PolicyConfig, access: ClusterAccess, services: Services
    ) -> _Kept:
        scheduler = PolicyScheduler(
            policy=policy,
            access=access,
            deleter=self._deleter(access, policy, services.journal),
            good_poll=self._good_polls[access.name],
            services=services,
        )
        resuming = self._resuming.get(access.name)
        task = group.create_task(
            scheduler.keep(after=resuming.task if resuming else None),
            name=f"clean {access.name} by {policy.name}",
        )
        return _Kept(policy=policy, access=access, task=task)

    def _pairs(self) -> Iterator[tuple[PolicyConfig, ClusterAccess]]:
        """Give every policy with every cluster that it applies to."""
        for access in self._accesses.values():
            for policy in self._config.policies:
                if policy.applies_to(access.config):
                    yield policy, access

    def _show(self, policy: PolicyConfig, access: ClusterAccess) -> None:
        """Put a policy on a cluster on the board, with what is known of it already."""
        labels = access.config.labels
        known = self._board.get((access.name, policy.name))
        if known is None:
            self._board.put(
                PolicyStatus(cluster=access.name, labels=labels, policy=policy.name, dry_run=policy.dry_run)
            )
        elif (known.labels, known.dry_run) != (labels, policy.dry_run):
            self._board.put(replace(known, labels=labels, dry_run=policy.dry_run))

    def _deleter(self, access: ClusterAccess, policy: PolicyConfig | None, journal: Journal) -> Deleter:
        return Deleter(
            access=access,
            journal=journal,
            kill_switch=self._kill_switch,
            unanswered=self._unanswered,
            limits=_UNKNOWN_POLICY_LIMITS if policy is None else limits_of(policy),
            pace=self._pace,
            wall_clock=self._wall_clock,
        )

    @asynccontextmanager
    async def _turn(self, cluster: str) -> AsyncIterator[None]:
        """Hold a cluster alone, and one of the places."""
        async with self._locks[cluster], self._limiter:
            yield

    async def _resume(self, access: ClusterAccess, journal: Journal, recovery: Recovery) -> None:
        """Bring to an end what was begun on a cluster, by an earlier configuration or life of the program."""
        policies = {policy.name: policy for policy in self._config.policies}

        def deleter_of(deletion: Deletion) -> Deleter:
            return self._deleter(access, policies.get(deletion.policy), journal)

        async with self._locks[access.name]:
            strangers = await recovery.end(await journal.unended(access.name), access, deleter_of)
            await journal.end_interrupted_runs(cluster=access.name, now=self._wall_clock())
            totals = await journal.totals()
            self._board.with_totals(totals, wanted=lambda status: status.cluster == access.name)
        # What another name meant may be in the midst of a run as yet, which then ends.
        if ending := self._ending() - {asyncio.current_task()}:
            await asyncio.wait(ending)
        others = others_at(access, await journal.unended(), self._accesses)
        elsewhere = [one for one in strangers if not is_taken_over(one, self._accesses)]
        elsewhere += await recovery.end(others, access, deleter_of)
        for cluster in sorted({deletion.cluster for deletion in elsewhere}):
            log.warning("deletions that were sent to another cluster stay unended", cluster=cluster)
        self._board.durations = await journal.durations()

    def _ending(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that the configuration has stopped and that have not ended."""
        tasks: set[asyncio.Task[Any]] = {kept.task for kept in self._kept.values()}
        tasks |= {resuming.task for resuming in self._resuming.values()}
        return {task for task in tasks if task.cancelling() and not task.done()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A policy on a cluster, and the task that runs it at its times."""

    policy: PolicyConfig
    access: ClusterAccess
    task: asyncio.Task[NoReturn]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resuming:
    """A cluster, and the task that ends what was begun on it."""

    access: ClusterAccess
    task: asyncio.Task[None]


async def _until_lost(journal: Journal) -> NoReturn:
    await journal.lost.wait()
    raise JournalError("the journal was lost")
