"""One poll of one cluster: the listing, which decides, then the facts, which may be missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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
from exporter.ontap.listing import ListingQuery, read_listing
from exporter.ontap.wire import Conversation

T = TypeVar("T")

FACT_SECONDS = 10.0
"""How long one fact may hold back a listing that has been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a poll gave.

    Attributes:
        inventory: the listing and the facts that could be read.
        unread: why each fact that could not be read was not.
    """

    inventory: Inventory
    unread: tuple[OntapError, ...]

    @property
    def facts_refused(self) -> bool:
        """Whether a fact was answered with 401, so that it must not be asked for again soon."""
        return any(isinstance(error, Unauthorized) for error in self.unread)


async def read_cluster(
    client: OntapClient, query: ListingQuery, *, deadline: float, with_facts: bool
) -> Reading:
    """Read a cluster.

    Args:
        client: talks to the cluster.
        query: how the listing is asked for.
        deadline: in the event loop's time, for all of it.
        with_facts: whether to ask for more than the listing.

    Raises:
        OntapError: the listing could not be read whole.
    """
    listing = await client.converse(read_listing(query), deadline=deadline)
    facts = _Facts(client, deadline, wanted=with_facts)
    identity = await facts.ask(read_identity())
    in_use = await _versions_in_use(facts, identity)
    inventory = Inventory(listing=listing, identity=identity, versions_in_use=in_use)
    return Reading(inventory=inventory, unread=tuple(facts.unread))


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


async def _versions_in_use(facts: _Facts, identity: ClusterIdentity | None) -> frozenset[str] | None:
    """Return every version that something names; None where a node's version, or the rest, is not known."""
    software: SoftwareFacts | None = await facts.ask(read_software())
    if software is None or software.version is None:
        return None
    nodes = software.node_versions
    if nodes is None:
        nodes = await facts.ask(read_node_versions())
    if nodes is None:
        return None
    named = (identity.ontap_version if identity else None, software.version, software.pending_version, *nodes)
    return frozenset(version for version in named if version is not None)
