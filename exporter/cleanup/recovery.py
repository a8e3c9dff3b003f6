"""Deletions that an earlier life of the program, or an earlier configuration, has left unended.

They belong to the cluster that they were sent to. A configured name may mean another one by now, and that
cluster may have another name: only where it answers itself is a deletion followed and brought to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from exporter.cleanup.cleanup_board import CleanupBoard
from exporter.cleanup.deleter import Deleter
from exporter.cleanup.journal import Journal
from exporter.cleanup.limits import Pauses
from exporter.cleanup.preflight import read_target_identity
from exporter.cleanup.records import Deletion, TargetIdentity
from exporter.cleanup.run import Runner
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import Forbidden, LoginPaused, OntapError, Unauthorized


class Recovery:
    """Brings to an end what was left unended on clusters that can be reached.

    Args:
        journal: remembers it.
        runner: accounts for it.
        board: shows it.
        pauses: between two questions to a cluster that does not tell who it is.
        wall_clock: gives Unix seconds.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        runner: Runner,
        board: CleanupBoard,
        pauses: Pauses,
        wall_clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._runner = runner
        self._board = board
        self._pauses = pauses
        self._wall_clock = wall_clock
        self._in_hand: set[int] = set()

    async def end(
        self,
        deletions: Iterable[Deletion],
        access: ClusterAccess,
        deleter_of: Callable[[Deletion], Deleter],
    ) -> tuple[Deletion, ...]:
        """End those deletions that were sent to a cluster; none of them may be in the midst of a run.

        Args:
            deletions: what may be of this cluster.
            access: the cluster.
            deleter_of: makes the deleter for a deletion on it.

        Returns:
            those that were sent to another one, which are as before.

        Raises:
            JournalError: an outcome could not be recorded.
        """
        strangers = [
            deletion for deletion in deletions if not await self._end(deletion, access, deleter_of(deletion))
        ]
        return tuple(strangers)

    async def _end(self, deletion: Deletion, access: ClusterAccess, deleter: Deleter) -> bool:
        """End one; say whether it was sent to this cluster."""
        unended = {one.id: one for one in await self._journal.unended(deletion.cluster)}
        current = unended.get(deletion.id)
        if current is None:
            return True
        if not await self._reaches(access, current.sent_to, deleter.job_timeout_seconds):
            return False
        if deletion.id in self._in_hand:
            return True  # it is reached by two names, and being ended by the other
        self._in_hand.add(deletion.id)
        try:
            current = {one.id: one for one in await self._journal.unended(deletion.cluster)}.get(deletion.id)
            if current is None:
                return True
            with self._board.in_progress((current.cluster, current.policy)):
                ended = await deleter.resume(current)
        finally:
            self._in_hand.discard(deletion.id)
        self._runner.account(ended)
        await self._journal.end_interrupted_runs(run_id=ended.run_id, now=self._wall_clock())
        return True

    async def _reaches(
        self, access: ClusterAccess, target_identity: TargetIdentity | None, patience_seconds: float
    ) -> bool:
        """Say whether a cluster is the target, by its address where it does not say who it is."""
        if target_identity is None:
            return True  # as an older version had it: the name decides
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_seconds
        here = TargetIdentity(uuid=None, origin=access.config.endpoint.origin)
        for pause in self._pauses:
            try:
                here = await read_target_identity(access)
                break
            except (Unauthorized, LoginPaused, Forbidden):
                break
            except OntapError:
                if clock() >= deadline:
                    break
            await asyncio.sleep(min(pause, max(deadline - clock(), 0.0)))
        return here.is_same(target_identity)


def others_at(
    access: ClusterAccess, deletions: Iterable[Deletion], accesses: Mapping[str, ClusterAccess]
) -> list[Deletion]:
    """Return the deletions that were sent to a cluster's address under names that do not mean it now."""
    origin = access.config.endpoint.origin
    found = []
    for deletion in deletions:
        named = accesses.get(deletion.cluster)
        leads_there = named is not None and named.config.endpoint.origin == origin
        if deletion.sent_to is not None and deletion.sent_to.origin == origin and not leads_there:
            found.append(deletion)
    return found


def is_taken_over(deletion: Deletion, accesses: Mapping[str, ClusterAccess]) -> bool:
    """Say whether a cluster of another name is now where a deletion was sent to."""
    return any(others_at(access, [deletion], accesses) for access in accesses.values())


def concerned_by(
    deletions: Iterable[Deletion],
    accesses: Mapping[str, ClusterAccess],
    known: Mapping[str, ClusterAccess],
) -> tuple[set[str], set[str]]:
    """Say who may end deletions, where what is configured of either has changed.

    Args:
        deletions: those that are unended.
        accesses: every cluster that is configured, by name.
        known: the same, before the change.

    Returns:
        the clusters that deletions may have been sent to, and the names of those that nobody can end.
    """
    deletions = tuple(deletions)
    if not deletions:
        return set(), set()
    at: dict[str, list[Deletion]] = {}
    for deletion in deletions:
        if deletion.sent_to is not None:
            at.setdefault(deletion.sent_to.origin, []).append(deletion)
    changed = {name for name in accesses.keys() | known.keys() if known.get(name) is not accesses.get(name)}
    concerned = {deletion.cluster for deletion in deletions if deletion.cluster in accesses} & changed
    taken_over = set()
    for name, access in accesses.items():
        others = others_at(access, at.get(access.config.endpoint.origin, ()), accesses)
        taken_over |= {deletion.cluster for deletion in others}
        if any(name in changed or deletion.cluster in changed for deletion in others):
            concerned.add(name)
    nowhere = {deletion.cluster for deletion in deletions} - accesses.keys() - taken_over
    return concerned, nowhere
