"""Since when packages have been seen on their clusters, without a gap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from exporter.cleanup.journal.database import Database, insert_or_update, transaction
from exporter.cleanup.journal.leases import LeasedStore, LeaseHolder
from exporter.cleanup.journal.stops import DAY_SECONDS
from exporter.cleanup.journal.tables import CLUSTERS, PACKAGES, sanitize
from exporter.cleanup.records import Lease
from exporter.ontap.requests.listing import Package

MAX_PACKAGES = 1000
"""This many packages of one cluster are remembered; the others count as never seen, and are kept."""
CLOCK_STEP_SECONDS = 5.0
"""A wall clock was set if it has moved by this much more or less than time has passed."""


class SeenStore(LeasedStore):
    """The packages of every cluster's last listing.

    For how long a package has been seen is measured by wall clocks, but setting the clock makes it neither
    longer nor shorter as long as one process notes the listings.
    """

    def __init__(self, database: Database, leases: LeaseHolder) -> None:
        super().__init__(database, leases)
        self._noted: dict[str, tuple[float, float]] = {}
        """When each cluster's listing was last noted here: by the wall clock, and by the clock since boot."""

    @transaction("note listings")
    def note(
        self,
        connection: Connection,
        listings: Mapping[Lease, Collection[Package]],
        *,
        returned: Mapping[str, Collection[str]] = MappingProxyType({}),
        now: float,
    ) -> frozenset[str]:
        """Note whole listings, of many clusters in one transaction.

        A package counts as first seen now if it is new in the listing, has another create_time, or is one of
        ``returned`` (by cluster uuid: versions that were missing at some time since the last note). If the
        last note is over a day old, all do.

        Returns:
            The clusters whose lease was lost: nothing was noted of them.
        """
        ours = self.leases.confirmed(connection, listings)
        noted = {lease.cluster_uuid: packages for lease, packages in listings.items()}
        listed = connection.execute(select(CLUSTERS).where(CLUSTERS.c.cluster_uuid.in_(ours)))
        last_listed = {row.cluster_uuid: row.listed_timestamp_seconds for row in listed}
        self._follow_clock(connection, last_listed, now=now)
        away = {uuid: frozenset(map(sanitize, versions)) for uuid, versions in returned.items()}
        _note(connection, {uuid: noted[uuid] for uuid in ours}, last_listed, away, now=now)
        self._noted |= dict.fromkeys(ours, (now, self.leases.boot_clock()))
        return frozenset(noted) - ours

    def _follow_clock(self, connection: Connection, last_listed: Mapping[str, float], *, now: float) -> None:
        """Move the times of packages by as much as the wall clock was set since they were noted here."""
        since_boot = self.leases.boot_clock()
        for uuid, listed in last_listed.items():
            noted_at, noted_since_boot = self._noted.get(uuid, (None, 0.0))
            step = (now - listed) - (since_boot - noted_since_boot)
            if noted_at == listed and abs(step) > CLOCK_STEP_SECONDS:
                moved = {"first_seen_timestamp_seconds": PACKAGES.c.first_seen_timestamp_seconds + step}
                connection.execute(update(PACKAGES).where(PACKAGES.c.cluster_uuid == uuid).values(moved))

    @transaction("read what was seen")
    def since(self, connection: Connection, cluster_uuid: str, *, now: float) -> Mapping[str, float]:
        """Return since when every package of the last listing has been seen, by version, Unix seconds.

        It is empty if that listing is more than a day away from now.
        """
        listed = select(CLUSTERS.c.listed_timestamp_seconds).where(CLUSTERS.c.cluster_uuid == cluster_uuid)
        last_listed = connection.execute(listed).scalar_one_or_none()
        if last_listed is None or abs(now - last_listed) > DAY_SECONDS:
            return {}
        rows = connection.execute(select(PACKAGES).where(PACKAGES.c.cluster_uuid == cluster_uuid))
        return {row.version: row.first_seen_timestamp_seconds for row in rows}


def _note(
    connection: Connection,
    listings: Mapping[str, Collection[Package]],
    last_listed: Mapping[str, float],
    away: Mapping[str, Collection[str]],
    *,
    now: float,
) -> None:
    """Write what is new in the whole listings of clusters, by uuid, and delete what has gone."""
    if not listings:
        return
    known: dict[str, dict[str, Row[Any]]] = defaultdict(dict)
    for row in connection.execute(select(PACKAGES).where(PACKAGES.c.cluster_uuid.in_(listings))):
        known[row.cluster_uuid][row.version] = row
    new: list[dict[str, object]] = []
    for uuid, packages in listings.items():
        present = {sanitize(package.version): package for package in packages}
        remembered = sorted(present)[:MAX_PACKAGES]
        if gone := known[uuid].keys() - set(remembered):
            of_cluster = PACKAGES.c.cluster_uuid == uuid
            connection.execute(delete(PACKAGES).where(of_cluster, PACKAGES.c.version.in_(gone)))
        is_continuous = uuid in last_listed and abs(now - last_listed[uuid]) <= DAY_SECONDS
        new += [
            {
                "cluster_uuid": uuid,
                "version": version,
                "create_timestamp_seconds": present[version].create_timestamp_seconds,
                "first_seen_timestamp_seconds": now,
            }
            for version in remembered
            if not is_continuous
            or version in away.get(uuid, ())
            or not _is_same(known[uuid].get(version), present[version], now=now)
        ]
    if new:
        excluded = insert_or_update(connection, PACKAGES, None).excluded
        names = ("create_timestamp_seconds", "first_seen_timestamp_seconds")
        changes = {name: excluded[name] for name in names}
        connection.execute(insert_or_update(connection, PACKAGES, changes), new)
    listed = insert_or_update(connection, CLUSTERS, {"listed_timestamp_seconds": now})
    rows = [{"cluster_uuid": uuid, "listed_timestamp_seconds": now} for uuid in listings]
    connection.execute(listed, rows)


def _is_same(row: Row[Any] | None, package: Package, *, now: float) -> bool:
    """Say whether a package is the one that was known, and was not first seen in the future."""
    return (
        row is not None
        and row.create_timestamp_seconds == package.create_timestamp_seconds
        and row.first_seen_timestamp_seconds <= now
    )
