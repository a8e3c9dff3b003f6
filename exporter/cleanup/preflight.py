"""What a decision rests on, read afresh: the whole listing and everything that guards a package."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from exporter.cleanup.decide.plan import GuardFacts
from exporter.cleanup.delete.replies import Meaning, read_reply
from exporter.cleanup.outcomes import RunFailure
from exporter.cleanup.records import Deletion
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import ApiError, Forbidden, LoginPaused, OntapError, Unauthorized, is_hidden
from exporter.ontap.requests.facts import (
    ClusterIdentity,
    read_download_state,
    read_identity,
    read_node_versions,
    read_software_beside,
    versions_named,
)
from exporter.ontap.requests.jobs import find_job, read_job
from exporter.ontap.requests.listing import Listing, read_listing

_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")
_NO_FACTS = float("-inf")

COUNTS_AS_RUNNING_SECONDS = 86_400.0
"""A given-up deletion counts as running for this long, unless its job is known to be over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """A listing and facts; either is None if it could not be read whole.

    Attributes:
        listing: the whole repository.
        facts: what guards packages.
        facts_read_at: when the last two requests began, by ``clock`` of :func:`read_preflight`: for the
            download's state, then for the update's state with the versions in the same answer.
        facts_read_until: when the second of them was answered.
        problem: why something is missing; "" if nothing is.
        failure: the same in a word: UNREADABLE, or DENIED after a 401 or 403.
    """

    listing: Listing | None = None
    facts: GuardFacts | None = None
    facts_read_at: float = _NO_FACTS
    facts_read_until: float = _NO_FACTS
    problem: str = ""
    failure: RunFailure = RunFailure.UNREADABLE

    def with_facts(self, **changes: Any) -> Preflight:  # noqa: ANN401 - what GuardFacts takes
        """Return the same with changed facts, if there are any."""
        return self if self.facts is None else replace(self, facts=replace(self.facts, **changes))


def usable_uuid(identity: ClusterIdentity | None) -> str | None:
    """Return the uuid by which a cluster is known; None if it states none, or nonsense."""
    if identity is None or identity.uuid is None or _UUID.fullmatch(identity.uuid) is None:
        return None
    return identity.uuid.lower()


async def read_preflight(access: ClusterAccess, *, clock: Callable[[], float]) -> Preflight:
    """Read the listing, then who the cluster is, then what goes on there; nothing is taken from a poll.

    What changes fastest is read last: the download's state, and at the very end the update's state and the
    versions in the same answer. ``clock`` gives ``facts_read_at`` and ``facts_read_until``.
    """
    try:
        listing = await access.ask(read_listing(access.query))
    except OntapError as exc:
        return Preflight(problem=f"the listing could not be read: {exc}", failure=_failure(exc))
    try:
        identity = await access.ask(read_identity(), is_fact=True)
        nodes, refusal = await _read_nodes(access)
        began = clock()
        download_state = await access.ask(read_download_state(), is_fact=True)
        software = await access.ask(read_software_beside(nodes), is_fact=True)
        ended = clock()
    except OntapError as exc:
        problem = f"the facts that protect packages could not be read: {exc}"
        return Preflight(listing=listing, problem=problem, failure=_failure(exc))
    cluster_uuid = usable_uuid(identity)
    named = versions_named(identity, software)
    if named is None and refusal is not None:
        problem = f"the facts that protect packages could not be read: {refusal}"
        return Preflight(listing=listing, problem=problem, failure=_failure(refusal))
    if named is None:
        return Preflight(
            listing=listing, problem="the cluster does not say in full which versions are in use"
        )
    if cluster_uuid is None:
        return Preflight(listing=listing, problem="the cluster does not say who it is: it states no uuid")
    facts = GuardFacts(
        named=named,
        update_state=software.update_state,
        download_state=download_state,
        cluster_uuid=cluster_uuid,
        clock_skew_seconds=access.client.clock_skew_seconds,
    )
    return Preflight(listing=listing, facts=facts, facts_read_at=began, facts_read_until=ended)


async def _read_nodes(access: ClusterAccess) -> tuple[tuple[str, ...] | None, OntapError | None]:
    """Return the versions of the nodes, as :func:`read_software_beside` takes them, and why there is no list.

    A role may forbid the list, or a cluster may not have it (404): then the software document alone decides.
    """
    try:
        return await access.ask(read_node_versions(access.query), is_fact=True), None
    except OntapError as exc:
        if not is_hidden(exc):
            raise
        return (), exc


async def read_being_deleted(
    access: ClusterAccess, given_up: Iterable[Deletion], *, now: float
) -> frozenset[str]:
    """Return the versions that a given-up deletion may still delete."""
    return frozenset([one.version for one in given_up if await may_still_run(access, one, now=now)])


async def may_still_run(access: ClusterAccess, deletion: Deletion, *, now: float) -> bool:
    """Say whether a given-up deletion (TIMEOUT, or DENIED with a known job) may still be running.

    If that cannot be read (a role may hide jobs), it counts as running for a day.
    """
    since = deletion.ended_timestamp_seconds or deletion.intended_timestamp_seconds
    is_recent = now - since < COUNTS_AS_RUNNING_SECONDS
    try:
        if deletion.job_uuid is None:
            conversation = find_job(deletion.version, query=access.query, earlier=deletion.earlier_job_uuids)
            search = await access.ask(conversation)
            return search.unfinished or (search.open and is_recent)
        return not (await access.ask(read_job(deletion.job_uuid))).over
    except OntapError as exc:
        is_forgotten = isinstance(exc, ApiError) and read_reply(exc).meaning is Meaning.GONE
        return is_recent and not (is_forgotten and deletion.job_uuid is not None)


def _failure(error: OntapError) -> RunFailure:
    is_denial = isinstance(error, Unauthorized | LoginPaused | Forbidden)
    return RunFailure.DENIED if is_denial else RunFailure.UNREADABLE
