"""This process's share of the leases: which clusters it cleans."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from math import ceil

from exporter.background import in_slices
from exporter.cleanup.cleaners.cleaner import WOKEN_PER_SLICE, Cleaner
from exporter.cleanup.journal import Journal
from exporter.cleanup.records import Heartbeat, Lease

HEARTBEATS_PER_LEASE = 3
MAX_HEARTBEAT_PAUSE_SECONDS = 7.0
"""So an expired lease is taken within 10 s: 7 s between heartbeats, 3 s for a slow database."""


def heartbeat_pause_seconds(takeover_after_seconds: float) -> float:
    """Return the seconds between two heartbeats."""
    return min(takeover_after_seconds / HEARTBEATS_PER_LEASE, MAX_HEARTBEAT_PAUSE_SECONDS)


class LeaseSharing:
    """Holds as many leases as are this process's share, and gives them to their cleaners, known by uuid.

    ``takeovers`` counts the clusters that were taken over from a process that had vanished.
    """

    def __init__(
        self,
        cleaners: Mapping[str, Cleaner],
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.takeovers = 0
        self._cleaners = cleaners
        self._clock = clock
        self._wall_clock = wall_clock
        self._wanted_since: dict[str, float] = {}
        self._living_owners = 1

    async def share(self, journal: Journal, beat: Heartbeat, *, unfinished: AbstractSet[str]) -> None:
        """Acquire what this process's share lacks, and release what exceeds it.

        ``unfinished`` are the clusters with a deletion to be brought to its end, even if no policy applies.
        """
        wanted = {
            uuid for uuid, cleaner in self._cleaners.items() if cleaner.wants_lease or uuid in unfinished
        }
        held = beat.leases.keys() & wanted
        room = ceil(len(wanted) / max(beat.living_owners, 1)) - len(held)
        await self._hand_out(journal, await self._acquire(journal, wanted - held, room=room))
        give_up = set(beat.leases.keys() - wanted)
        if beat.living_owners > self._living_owners and room < 0:
            idle = sorted(uuid for uuid in held if not self._cleaners[uuid].is_busy)
            give_up.update(idle[:-room])
        self._living_owners = beat.living_owners
        if give_up:
            for uuid in give_up & self._cleaners.keys():
                self._cleaners[uuid].hold(None)
            await journal.leases.release(give_up)

    async def _acquire(self, journal: Journal, missing: Collection[str], *, room: int) -> dict[str, Lease]:
        """Acquire as many leases as there is room for, and those that nobody else takes."""
        now = self._clock()
        self._wanted_since = {uuid: self._wanted_since.get(uuid, now) for uuid in missing}
        # Nobody took the lease for this long: the process whose share it is cannot reach the cluster.
        longest_seconds = journal.leases.takeover_after_seconds
        overdue = {uuid for uuid, since in self._wanted_since.items() if now - since > longest_seconds}
        acquired = dict(await journal.leases.acquire(overdue)) if overdue else {}
        if (room_left := room - len(acquired)) > 0:
            acquired |= await journal.leases.acquire(set(missing) - overdue, at_most=room_left)
        self.takeovers += sum(lease.taken_over for lease in acquired.values())
        return acquired

    async def _hand_out(self, journal: Journal, acquired: Mapping[str, Lease]) -> None:
        """Tell cleaners their new leases, and what comes with these."""
        inherited = await journal.runs.inherit(acquired.values(), now=self._wall_clock())
        async for uuid, lease in in_slices(acquired.items(), at_most=WOKEN_PER_SLICE):
            if (cleaner := self._cleaners.get(uuid)) is not None:
                cleaner.hold(lease, inherited.get(uuid))
