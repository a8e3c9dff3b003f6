"""One poll of one cluster: the listing, which decides, then the facts, which may be missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TypeVar

from exporter.inventory import Inventory
from exporter.ontap.client import OntapClient
from exporter.ontap.errors import OntapError, Unauthorized
from exporter.ontap.facts import (
    ClusterIdentity,
    SoftwareFacts,
    read_identity,
    read_node_versions,
    read_software,
)
from exporter.ontap.listing import Listing, ListingQuery, read_listing
from exporter.ontap.wire import Conversation

T = TypeVar("T")

FACT_SECONDS = 10.0
"""How long one fact may hold back a listing that has been read."""
FACTS_SERVE_POLLS = 3
"""How many polls facts may serve that were read once."""
FACTS_SERVE_SECONDS = 900.0
"""How old facts may be that serve another poll."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a good poll leaves to the one that follows it.

    Attributes:
        inventory: what it saw.
        facts_read: when its facts were read, in the event loop's time.
        facts_served: how many polls they have served.
        settled: whether all could be read, and no update is pending, is going on or was broken off.
    """

    inventory: Inventory
    facts_read: float
    facts_served: int
    settled: bool

    def facts_may_serve(self, listing: Listing, *, now: float) -> bool:
        """Say whether the facts may stand beside a new listing: the same packages, and nothing goes on."""
        return (
            self.settled
            and self.inventory.listing.packages == listing.packages
            and self.facts_served < FACTS_SERVE_POLLS
            and 0.0 <= now - self.facts_read < FACTS_SERVE_SECONDS
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a poll gave.

    Attributes:
        inventory: the listing and the facts that could be read.
        unread: why each fact that could not be read was not.
        kept: for the next poll.
    """

    inventory: Inventory
    unread: tuple[OntapError, ...]
    kept: Kept

    @property
    def facts_refused(self) -> bool:
        """Whether a fact was answered with 401, so that it must not be asked for again soon."""
        return any(isinstance(error, Unauthorized) for error in self.unread)


async def read_cluster(
    client: OntapClient,
    query: ListingQuery,
    *,
    deadline: float,
    with_facts: bool,
    kept: Kept | None = None,
    facts_may_serve: bool = False,
) -> Reading:
    """Read a cluster.

    Args:
        client: talks to the cluster.
        query: how the listing is asked for.
        deadline: in the event loop's time, for all of it.
        with_facts: whether to ask for more than the listing.
        kept: of the last good poll. What is the same again is the very same object.
        facts_may_serve: whether the facts of that poll may serve again, where nothing else speaks against it.

    Raises:
        OntapError: the listing could not be read whole.
    """
    before = kept.inventory if kept else None
    listing = await client.converse(
        read_listing(query, known=before.listing if before else None), deadline=deadline
    )
    now = asyncio.get_running_loop().time()
    if kept is not None and with_facts and facts_may_serve and kept.facts_may_serve(listing, now=now):
        again = replace(kept.inventory, listing=listing)
        kept = replace(kept, inventory=again, facts_served=kept.facts_served + 1)
        return Reading(inventory=again, unread=(), kept=kept)
    facts = _Facts(client, deadline, wanted=with_facts)
    identity = await facts.ask(read_identity())
    software = await facts.ask(read_software())
    in_use = await _versions_in_use(facts, identity, software)
    if before is not None:
        identity = before.identity if before.identity == identity else identity
        in_use = before.versions_in_use if before.versions_in_use == in_use else in_use
    inventory = Inventory(listing=listing, identity=identity, versions_in_use=in_use)
    settled = identity is not None and in_use is not None and software is not None and software.settled
    return Reading(
        inventory=inventory,
        unread=tuple(facts.unread),
        kept=Kept(inventory=inventory, facts_read=now, facts_served=1, settled=settled),
    )


class _Facts:
    """Asks for facts, and for none any more after one was answered with 401."""

    def __init__(self, client: OntapClient, deadline: float, *, wanted: bool) -> None:
        self._client = client
        self._deadline = deadline
        self._wanted = wanted
        self.unread: list[OntapError] = []

    async def ask(self, conversation: Conversation[T]) -> T | None:
        if not self._wanted:
            return None
        now = asyncio.get_running_loop().time()
        try:
            return await self._client.converse(conversation, deadline=min(self._deadline, now + FACT_SECONDS))
        except OntapError as exc:
            self.unread.append(exc)
            self._wanted = not isinstance(exc, Unauthorized)
            return None


async def _versions_in_use(
    facts: _Facts, identity: ClusterIdentity | None, software: SoftwareFacts | None
) -> frozenset[str] | None:
    """Return every version that something names; None where a node's version, or the rest, is not known."""
    if software is None or software.version is None:
        return None
    nodes = software.node_versions
    if nodes is None:
        nodes = await facts.ask(read_node_versions())
    if nodes is None:
        return None
    named = (identity.ontap_version if identity else None, software.version, software.pending_version, *nodes)
    return frozenset(version for version in named if version is not None)
