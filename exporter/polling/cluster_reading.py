"""One poll of one cluster: first the listing, then the facts; the poll is good if the listing is whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TypeVar

from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import Forbidden, LoginPaused, OntapError, Unauthorized
from exporter.ontap.requests.facts import (
    read_download_state,
    read_identity,
    read_software,
    versions_named,
)
from exporter.ontap.requests.inventory import Inventory
from exporter.ontap.requests.listing import Listing, read_listing
from exporter.ontap.requests.messages import Conversation

T = TypeVar("T")

FACT_SECONDS = 10.0
"""How long reading one fact may take, while the listing waits."""
FACTS_SERVE_POLLS = 3
"""Facts are read once for at most this many polls."""
FACTS_SERVE_SECONDS = 900.0
"""Facts are read again if they are older than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A good poll's inventory, and what the next poll needs to know of it.

    Attributes:
        unread: one error for each fact that could not be read.
        facts_read: when the facts were read, in the event loop's time.
        facts_served: how many polls have used them.
        nothing_under_way: whether all facts could be read, no update is pending, running or interrupted, and
            no package is being downloaded.
    """

    inventory: Inventory
    unread: tuple[OntapError, ...] = ()
    facts_read: float
    facts_served: int
    nothing_under_way: bool

    def facts_may_serve(self, listing: Listing, *, now: float) -> bool:
        """Say whether another poll may use the facts: same packages, recent facts, nothing under way."""
        return (
            self.nothing_under_way
            and self.inventory.listing.packages == listing.packages
            and self.facts_served < FACTS_SERVE_POLLS
            and 0.0 <= now - self.facts_read < FACTS_SERVE_SECONDS
        )


async def read_cluster(
    access: ClusterAccess, *, deadline: float, last_good: Reading | None, was_good: bool
) -> Reading:
    """Read a cluster.

    Args:
        access: the cluster.
        deadline: in the event loop's time, for all of it.
        last_good: the result of the last good poll; a listing that is the same is not decoded again.
        was_good: whether the last poll was good. After a failed poll, facts are read again.

    Raises:
        LoginPaused: nothing was sent.
        OntapError: the whole listing could not be read.
    """
    clock = asyncio.get_running_loop().time
    known = last_good.inventory.listing if last_good else None
    listing = await access.ask(read_listing(access.query, known=known), deadline=deadline)
    now = clock()
    if last_good is not None and was_good and last_good.facts_may_serve(listing, now=now):
        inventory = replace(last_good.inventory, listing=listing)
        return replace(last_good, inventory=inventory, facts_served=last_good.facts_served + 1)
    unread: list[OntapError] = []

    async def ask(conversation: Conversation[T]) -> T | None:
        try:
            return await access.ask(
                conversation, deadline=min(deadline, clock() + FACT_SECONDS), is_fact=True
            )
        except LoginPaused:
            return None
        except OntapError as exc:
            unread.append(exc)
            return None

    identity = await ask(read_identity())
    software = await ask(read_software(access.query))
    download_state = await ask(read_download_state())
    all_read = identity is not None and software is not None and not unread
    answered = (
        identity is not None or software is not None or any(isinstance(exc, Forbidden) for exc in unread)
    )
    if answered and not any(isinstance(exc, Unauthorized) for exc in unread):
        access.account.fact_refusals.accepted()
    named = versions_named(identity, software)
    inventory = Inventory(
        listing=listing,
        identity=identity,
        versions_in_use=None if named is None else frozenset(named),
        software=software,
        download_state=download_state,
    )
    return Reading(
        inventory=inventory,
        unread=tuple(unread),
        facts_read=now,
        facts_served=1,
        nothing_under_way=all_read and _nothing_under_way(inventory),
    )


def _nothing_under_way(inventory: Inventory) -> bool:
    """Say whether versions may be expected to stay as they are."""
    return (
        inventory.versions_in_use is not None
        and inventory.software is not None
        and inventory.software.no_update_open
        and not inventory.download_in_progress
    )
