"""One poll of one cluster: first the listing, then the facts; the poll is good if the listing is whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TypeVar

from exporter.inventory import Inventory
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import LoginPaused, OntapError
from exporter.ontap.facts import ClusterIdentity, SoftwareFacts, read_identity, read_software
from exporter.ontap.listing import Listing, read_listing
from exporter.ontap.wire import Conversation

T = TypeVar("T")

FACT_SECONDS = 10.0
"""How long reading one fact may take, while the listing waits."""
FACTS_SERVE_POLLS = 3
"""Facts are read once for at most this many polls."""
FACTS_SERVE_SECONDS = 900.0
"""Facts are read again if they are older than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The result of a good poll.

    Attributes:
        inventory: the listing and the facts that could be read.
        unread: one error for each fact that could not be read.
        facts_read: when the facts were read, in the event loop's time.
        facts_served: how many polls have used them.
        no_update_open: whether all facts could be read, and no update is pending, running or interrupted.
    """

    inventory: Inventory
    unread: tuple[OntapError, ...] = ()
    facts_read: float
    facts_served: int
    no_update_open: bool

    def facts_may_serve(self, listing: Listing, *, now: float) -> bool:
        """Say whether another poll may use the facts: same packages, recent facts, no update open."""
        return (
            self.no_update_open
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
        last_good: the result of the last good poll. The new result shares its unchanged objects.
        was_good: whether the last poll was good. After a failed poll, facts are read again.

    Raises:
        LoginPaused: nothing was sent.
        OntapError: the whole listing could not be read.
    """
    clock = asyncio.get_running_loop().time
    before = last_good.inventory if last_good else None
    known = before.listing if before else None
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
    software = await ask(read_software())
    if identity is not None and software is not None:
        access.fact_refusals.accepted()
    in_use = _versions_in_use(identity, software)
    if before is not None:
        identity = before.identity if before.identity == identity else identity
        in_use = before.versions_in_use if before.versions_in_use == in_use else in_use
    return Reading(
        inventory=Inventory(listing=listing, identity=identity, versions_in_use=in_use),
        unread=tuple(unread),
        facts_read=now,
        facts_served=1,
        no_update_open=(
            identity is not None and in_use is not None and software is not None and software.no_update_open
        ),
    )


def _versions_in_use(
    identity: ClusterIdentity | None, software: SoftwareFacts | None
) -> frozenset[str] | None:
    """Return every version in use; None if one could not be read."""
    if software is None or software.version is None or software.node_versions is None:
        return None
    named = (software.version, software.pending_version, *software.node_versions)
    if identity is not None:
        named = (identity.ontap_version, *named)
    return frozenset(version for version in named if version is not None)
