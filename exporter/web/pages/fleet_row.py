"""A row of the fleet page: what is known of one cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from exporter.cleanup.cleanup_board import PolicyStatus
from exporter.config import PolicyConfig
from exporter.ontap.errors import Reason
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.versions import Release, parse_release
from exporter.polling.board import ClusterStatus

OLD_AFTER_SECONDS: Final = 180 * 86_400.0
"""When an unused package counts as old where no policy says it: as in the alert OntapUnusedPackageOld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """One cluster at one moment.

    Attributes:
        status: what polling knows.
        inventory: the last good poll's, as long as it is fresh.
        oldest_seconds: the age of the oldest package; None if there is none, or no age is known.
        old: unused packages that are older than ``old_after_seconds``.
        unknown_ages: packages without a create_time.
        old_after_seconds: the least ``older_than`` of the policies that apply to the cluster.
        waiting: packages that the last plans chose; None if there is no plan.
    """

    status: ClusterStatus
    inventory: Inventory | None
    oldest_seconds: float | None
    old: int
    unknown_ages: int
    old_after_seconds: float
    waiting: int | None

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
    def release(self) -> Release | None:
        """The same, to be compared."""
        return parse_release(self.release_name) if self.release_name else None

    @property
    def is_use_known(self) -> bool:
        """Whether it is known which versions are in use."""
        return self.inventory is not None and self.inventory.versions_in_use is not None

    @property
    def in_use(self) -> list[str] | None:
        """The packages whose version is in use; None if that is not known."""
        if self.inventory is None or not self.is_use_known:
            return None
        packages = self.inventory.listing.packages
        return [package.version for package in packages if self.inventory.in_use(package)]

    @property
    def reason(self) -> Reason | None:
        """Why the last poll failed; None if it did not."""
        poll = self.status.last_poll
        return poll.failure.reason if poll and poll.failure else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupByCluster:
    """What cleanup says of each cluster, by its name.

    Attributes:
        waiting: packages that the last plans chose.
        old_after_seconds: the least ``older_than`` of the policies that apply.
    """

    waiting: Mapping[str, int] = field(default_factory=dict)
    old_after_seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, statuses: Iterable[PolicyStatus], policies: Iterable[PolicyConfig]) -> CleanupByCluster:
        """Sum up the policies of each cluster."""
        older_than = {
            policy.name: policy.older_than.total_seconds()
            for policy in policies
            if policy.older_than is not None
        }
        waiting: defaultdict[str, int] = defaultdict(int)
        old_after: dict[str, float] = {}
        for status in statuses:
            if status.totals.candidates is not None:
                waiting[status.cluster] += status.totals.candidates
            if (seconds := older_than.get(status.policy)) is not None:
                old_after[status.cluster] = min(seconds, old_after.get(status.cluster, seconds))
        return cls(waiting=dict(waiting), old_after_seconds=old_after)


def row_of(status: ClusterStatus, cleanup: CleanupByCluster, now: float) -> FleetRow:
    """Return what is known of a cluster at a moment, Unix seconds."""
    inventory = status.fresh_inventory(now)
    old_after = cleanup.old_after_seconds.get(status.name, OLD_AFTER_SECONDS)
    packages = inventory.listing.packages if inventory else ()
    created = [package.create_timestamp_seconds for package in packages]
    known = [timestamp for timestamp in created if timestamp is not None]
    return FleetRow(
        status=status,
        inventory=inventory,
        oldest_seconds=max(now - min(known), 0.0) if known else None,
        old=sum(
            package.create_timestamp_seconds is not None
            and now - package.create_timestamp_seconds > old_after
            and inventory is not None
            and inventory.in_use(package) is False
            for package in packages
        ),
        unknown_ages=len(created) - len(known),
        old_after_seconds=old_after,
        waiting=cleanup.waiting.get(status.name),
    )
