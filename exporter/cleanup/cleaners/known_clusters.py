"""What polls have found out about the configured clusters: who answers under which name, and what they list.

Cleanup knows a cluster by its uuid; configured names are labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from exporter.ontap.access import ClusterAccess
from exporter.ontap.requests.listing import Package

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

NOTED_EVERY_SECONDS = 600.0
"""How often the journal notes that a listing is still the same."""


@dataclass(slots=True, kw_only=True)
class ConfiguredCluster:
    """What is known of one configured name.

    Attributes:
        rank: its position in the configuration, from 0.
        since: since when it has been configured, Unix seconds.
        uuid: of the cluster that answered last under this name; None before a cluster has stated one.
        is_unidentified: whether a cluster has answered without a uuid; it is logged once.
    """

    access: ClusterAccess
    rank: int
    since: float
    uuid: str | None
    is_unidentified: bool = False


class Identities:
    """The configured clusters by name, and the names of each uuid that has answered."""

    def __init__(self) -> None:
        self._clusters: dict[str, ConfiguredCluster] = {}
        self._names: dict[str, set[str]] = {}

    def configure(self, accesses: Mapping[str, ClusterAccess], *, now: float) -> None:
        """Replace the configured names; a uuid stays known if the address has not changed."""
        before, self._clusters, self._names = self._clusters, {}, {}
        for rank, (name, access) in enumerate(accesses.items()):
            known = before.get(name)
            since = now if known is None else known.since
            is_same = known is not None and known.access.config.endpoint == access.config.endpoint
            uuid = known.uuid if known is not None and is_same else None
            if uuid is not None:
                self._names.setdefault(uuid, set()).add(name)
            self._clusters[name] = ConfiguredCluster(access=access, rank=rank, since=since, uuid=uuid)

    def identify(self, name: str, uuid: str) -> frozenset[str]:
        """Take note of the uuid that a configured cluster states; return the uuids whose names changed."""
        cluster = self._clusters[name]
        before, cluster.uuid = cluster.uuid, uuid
        if before == uuid:
            return frozenset()
        if before is not None:
            self._names[before].discard(name)
            if not self._names[before]:
                del self._names[before]
        names = self._names.setdefault(uuid, set())
        names.add(name)
        if len(names) > 1:
            log.warning("one cluster is configured under several names", uuid=uuid, names=sorted(names))
        return frozenset({uuid} if before is None else {uuid, before})

    def named(self, name: str) -> ConfiguredCluster | None:
        """Return a configured cluster."""
        return self._clusters.get(name)

    def first(self, uuid: str) -> tuple[str, ConfiguredCluster] | None:
        """Return the name and the cluster that a uuid is cleaned under: the first that is configured."""
        names = self._names.get(uuid)
        if not names:
            return None
        name = min(names, key=lambda one: self._clusters[one].rank)
        return name, self._clusters[name]

    @property
    def uuids(self) -> frozenset[str]:
        """Every uuid that has answered under a configured name."""
        return frozenset(self._names)


@dataclass(slots=True, kw_only=True)
class _Listed:
    """The last listing of one cluster; its times are in seconds of a clock that never goes back.

    Attributes:
        valid_until: until when another poll may say that it is still the same.
        returned: versions that are back in it, see :meth:`PolledListings.returned`.
        noted_at: when the journal noted it last; -inf: never.
    """

    packages: tuple[Package, ...]
    valid_until: float
    returned: frozenset[str]
    noted_at: float = float("-inf")


class PolledListings:
    """The last listing of each cluster, by uuid."""

    def __init__(self) -> None:
        self._listed: dict[str, _Listed] = {}

    def put(self, uuid: str, packages: tuple[Package, ...], *, valid_until: float) -> None:
        """Replace the listing of a cluster, by a poll; one that differs is due at once.

        Until ``valid_until``, another poll may say that it is still the same.
        """
        known = self._listed.get(uuid)
        if known is not None and known.packages == packages:
            known.valid_until = valid_until
            return
        returned: frozenset[str] = frozenset()
        if known is not None and known.noted_at == float("-inf"):
            before = frozenset(known.packages)
            returned = known.returned.union(one.version for one in packages if one not in before)
        self._listed[uuid] = _Listed(packages=packages, valid_until=valid_until, returned=returned)

    def keep(self, uuids: Collection[str]) -> None:
        """Forget all clusters but these."""
        self._listed = {uuid: listed for uuid, listed in self._listed.items() if uuid in uuids}

    def due(self, uuids: Collection[str], *, now: float) -> dict[str, tuple[Package, ...]]:
        """Return the listings of these clusters that the journal does not know, or should note again.

        A listing that no poll has confirmed in time is not due: nobody knows whether it is still the same.
        ``now`` is in seconds of a clock that never goes back.
        """
        return {
            uuid: listed.packages
            for uuid, listed in self._listed.items()
            if uuid in uuids and now - listed.noted_at >= NOTED_EVERY_SECONDS and now < listed.valid_until
        }

    def returned(self, uuid: str) -> frozenset[str]:
        """Return the versions that are back after a listing without them that was never noted in the journal.

        To the journal, they would look as if they had been there all the time.
        """
        listed = self._listed.get(uuid)
        return frozenset() if listed is None else listed.returned

    def noted(self, listings: Mapping[str, tuple[Package, ...]], *, now: float) -> None:
        """Take note that the journal knows these listings; what was listed since is still due."""
        for uuid, packages in listings.items():
            if (listed := self._listed.get(uuid)) is not None and listed.packages is packages:
                listed.noted_at, listed.returned = now, frozenset()
