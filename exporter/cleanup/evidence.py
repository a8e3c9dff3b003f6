"""What a decision rests on, read afresh: the whole listing and everything that guards a package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

from exporter.access import ClusterAccess
from exporter.cleanup.plan import GuardFacts
from exporter.ontap.errors import OntapError, Unauthorized
from exporter.ontap.facts import (
    ClusterIdentity,
    SoftwareFacts,
    read_download_state,
    read_identity,
    read_node_versions,
    read_software,
)
from exporter.ontap.listing import Listing, read_listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A listing and facts, each None where it could not be read whole; then ``problem`` says why."""

    listing: Listing | None
    facts: GuardFacts | None
    problem: str = ""

    def holds(self, version: str) -> bool | None:
        """Say whether the repository holds a version; None where the listing is not known."""
        if self.listing is None:
            return None
        return any(package.version == version for package in self.listing.packages)


async def read_evidence(access: ClusterAccess, *, being_deleted: frozenset[str]) -> Evidence:
    """Read the listing, then the facts; nothing is taken from an earlier poll.

    Args:
        access: the cluster.
        being_deleted: versions whose deletion by an earlier run may still be going on.
    """
    evidence = await read_repository(access)
    if evidence.listing is None:
        return evidence
    try:
        facts = await _read_facts(access)
    except OntapError as exc:
        _note_refusal(access, exc)
        return replace(evidence, problem=f"what guards the packages could not be read: {exc}")
    if facts is None:
        return replace(evidence, problem="the cluster does not tell in full which versions are in use")
    return replace(evidence, facts=replace(facts, being_deleted=being_deleted))


async def read_repository(access: ClusterAccess) -> Evidence:
    """Read the listing alone."""
    clock = asyncio.get_running_loop().time
    if not access.accepts_login(clock()):
        return Evidence(listing=None, facts=None, problem="the credentials were refused a short while ago")
    try:
        listing = await access.client.converse(read_listing(access.query), deadline=access.deadline(clock()))
    except OntapError as exc:
        _note_refusal(access, exc)
        return Evidence(listing=None, facts=None, problem=f"the listing could not be read: {exc}")
    access.refusals.clear()
    return Evidence(listing=listing, facts=None)


async def _read_facts(access: ClusterAccess) -> GuardFacts | None:
    """Read who names which version, and what goes on; None where something is missing.

    Raises:
        OntapError: a fact could not be read.
    """
    deadline = access.deadline(asyncio.get_running_loop().time())
    identity = await access.client.converse(read_identity(), deadline=deadline)
    software = await access.client.converse(read_software(), deadline=deadline)
    nodes = software.node_versions
    if nodes is None:
        nodes = await access.client.converse(read_node_versions(), deadline=deadline)
    download_state = await access.client.converse(read_download_state(), deadline=deadline)
    if identity.ontap_version is None or software.version is None or nodes is None:
        return None
    return GuardFacts(
        named=dict(reversed(list(_named(identity, software, nodes)))),
        update_state=software.update_state,
        download_state=download_state,
    )


def _named(
    identity: ClusterIdentity, software: SoftwareFacts, nodes: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Give every version that something names, and who names it."""
    for version in (identity.ontap_version, software.version):
        if version is not None:
            yield version, "the cluster"
    for version in nodes:
        yield version, "a node"
    if software.pending_version is not None:
        yield software.pending_version, "the pending update"


def _note_refusal(access: ClusterAccess, error: OntapError) -> None:
    if isinstance(error, Unauthorized):
        access.refusals.add(asyncio.get_running_loop().time())
