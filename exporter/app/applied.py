"""The configuration in force: what it asks for is what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from exporter.app.cleaning import Cleaning
from exporter.config import Config
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.polling.fleet import Fleet
from exporter.sharding import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How many clusters a configuration has added, changed, taken out and left alone."""

    added: int
    changed: int
    removed: int
    kept: int


class AppliedConfiguration:
    """Puts one configuration after the other in force.

    Args:
        config: the first one, which :meth:`apply` puts in force.
        shard: the share of the clusters that this process looks after.
        opener: reaches the clusters.
        fleet: polls them.
        cleaning: cleans them.
    """

    def __init__(
        self, *, config: Config, shard: Shard, opener: AccessOpener, fleet: Fleet, cleaning: Cleaning
    ) -> None:
        self.config = config
        self._shard = shard
        self._opener = opener
        self._fleet = fleet
        self._cleaning = cleaning
        self._accesses: Mapping[str, ClusterAccess] = MappingProxyType({})

    async def apply(self, config: Config) -> Changes:
        """Put a configuration in force: polling at once, and cleanup as soon as what it ends has ended.

        Only clusters that it says something else of are polled and cleaned anew; every secret is read again.
        """
        before = self._accesses
        configured = {name: access.config for name, access in before.items()}
        accesses = self._opener.open(self._shard.share(config.clusters), before=before)
        self.config, self._accesses = config, accesses
        self._fleet.poll(accesses, max_concurrent_polls=config.max_concurrent_polls)
        await self._cleaning.apply(config.cleanup, accesses)
        kept = sum(
            before.get(name) is access and configured[name] == access.config
            for name, access in accesses.items()
        )
        return Changes(
            added=len(accesses.keys() - before.keys()),
            changed=len(accesses.keys() & before.keys()) - kept,
            removed=len(before.keys() - accesses.keys()),
            kept=kept,
        )
