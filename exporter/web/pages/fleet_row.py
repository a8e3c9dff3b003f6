"""A row of the fleet page: what is known of one cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.config import PolicyConfig
from exporter.ontap.errors import Reason
from exporter.ontap.requests.inventory import Inventory
from exporter.polling.board import ClusterStatus

OLD_AFTER_SECONDS: Final = 180 * 86_400.0
"""When an unused package counts as old where no policy says it: as in the alert OntapUnusedPackageOld."""


class State(StrEnum):
    """What a cluster is counted as, beside the reason of a failed poll."""

    UP = "up"  # the last poll was good
    DOWN = "down"  # the last poll failed
    STALE = "stale"  # it was polled, and its packages are not known now
    UNPOLLED = "unpolled"  # no poll has ended yet
    OLD = "old"  # it has unused packages that are old
    WAITING = "waiting"  # the last plans chose some of its packages


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """One cluster at one moment."""

    status: ClusterStatus
    inventory: Inventory | None
    """The last good poll's, as long as it is fresh."""
    oldest_seconds: float | None
    """The age of the oldest package; None if there is none, or no age is known."""
    old: frozenset[str]
    """The versions of unused packages that are older than ``old_after_seconds``."""
    unknown_ages: int
    """Packages without a create_time."""
    old_after_seconds: float
    """The least ``older_than`` of the policies that apply to the cluster."""
    waiting: int | None
    """Packages that the last plans chose; None if there is no plan."""

    @property
    def packages(self) -> int | None:
        """How many packages the repository holds; None if that is not known now."""
        return None if self.inventory is None else len(self.inventory.listing.packages)

    @property
    def is_stale(self) -> bool:
        """Whether the cluster was polled, and its packages are not known now."""
        return self.inventory is None and self.status.last_poll is not None

    @property
    def release_name(self) -> str | None:
        """The release that the cluster ran at its last good poll."""
        inventory = self.status.inventory
        return inventory.identity.ontap_version if inventory and inventory.identity else None

    @property
    def in_use(self) -> list[str] | None:
        """The packages whose version is in use; None if that is not known."""
        if self.inventory is None or self.inventory.versions_in_use is None:
            return None
        packages = self.inventory.listing.packages
        return [package.version for package in packages if self.inventory.in_use(package)]

    @property
    def reason(self) -> Reason | None:
        """Why the last poll failed; None if it did not."""
        poll = self.status.last_poll
        return poll.failure.reason if poll and poll.failure else None

    def states(self) -> Iterator[str]:
        """Yield every state of the cluster, and the reason of its failed poll."""
        if self.status.last_poll is None:
            yield State.UNPOLLED
        elif self.reason is None:
            yield State.UP
        else:
            yield State.DOWN
            yield self.reason
        if self.is_stale:
            yield State.STALE
        if self.old:
            yield State.OLD
        if self.waiting:
            yield State.WAITING


def row_of(
    status: ClusterStatus, cleaned: Sequence[PolicyStatus], policies: Sequence[PolicyConfig], now: float
) -> FleetRow:
    """Return what is known of a cluster at a moment, Unix seconds; ``cleaned`` says what its policies did."""
    applied = {one.policy for one in cleaned}
    ages = [policy.older_than for policy in policies if policy.name in applied]
    old_after = min((age.total_seconds() for age in ages if age is not None), default=OLD_AFTER_SECONDS)
    candidates = [one.totals.candidates for one in cleaned if one.totals.candidates is not None]
    inventory = status.fresh_inventory(now)
    packages = inventory.listing.packages if inventory else ()
    created = [package.create_timestamp_seconds for package in packages]
    known = [timestamp for timestamp in created if timestamp is not None]
    return FleetRow(
        status=status,
        inventory=inventory,
        oldest_seconds=max(now - min(known), 0.0) if known else None,
        old=frozenset(
            package.version
            for package in packages
            if package.create_timestamp_seconds is not None
            and now - package.create_timestamp_seconds > old_after
            and inventory is not None
            and inventory.in_use(package) is False
        ),
        unknown_ages=len(created) - len(known),
        old_after_seconds=old_after,
        waiting=sum(candidates) if candidates else None,
    )
