"""What a decision rests on, read afresh: the whole listing and everything that guards a package."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from exporter.cleanup.plan import GuardFacts
from exporter.cleanup.records import TargetIdentity
from exporter.ontap.access import ClusterAccess
from exporter.ontap.errors import Forbidden, OntapError, Unauthorized
from exporter.ontap.facts import (
    ClusterIdentity,
    SoftwareFacts,
    read_download_state,
    read_identity,
    read_software,
)
from exporter.ontap.listing import Listing, read_listing

_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")


class DecisionImpossibleError(Exception):
    """What a deletion rests on cannot be read, or cleanup was halted: nothing is sent.

    Attributes:
        denied: whether that is because of a 401 or 403.
    """

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """A listing and facts, each None where it could not be read whole.

    Attributes:
        listing: the whole repository.
        facts: what guards packages.
        problem: why one of them is missing.
        denied: whether that was a 401 or 403.
        target_identity: the cluster that has answered; None where it was not asked or facts are missing.
    """

    listing: Listing | None
    facts: GuardFacts | None
    problem: str = ""
    denied: bool = False
    target_identity: TargetIdentity | None = None

    def guarding(self, being_deleted: frozenset[str]) -> Preflight:
        """Return the preflight with versions whose deletion by an earlier run may still be going on."""
        facts = self.facts
        return self if facts is None else replace(self, facts=replace(facts, being_deleted=being_deleted))

    def holds(self, version: str) -> bool | None:
        """Say whether the repository holds a version; None where the listing is not known."""
        if self.listing is None:
            return None
        return any(package.version == version for package in self.listing.packages)


async def read_preflight(access: ClusterAccess) -> Preflight:
    """Read the listing, then the facts; nothing is taken from an earlier poll."""
    preflight = await read_repository(access)
    if preflight.listing is None:
        return preflight
    try:
        identity, facts = await _read_facts(access)
    except OntapError as exc:
        problem = f"what guards the packages could not be read: {exc}"
        return replace(preflight, problem=problem, denied=_is_denial(exc))
    if facts is None:
        return replace(preflight, problem="the cluster does not tell in full which versions are in use")
    return replace(preflight, facts=facts, target_identity=_target_identity(access, identity))


async def read_repository(access: ClusterAccess) -> Preflight:
    """Read the listing alone."""
    try:
        listing = await access.ask(read_listing(access.query))
    except OntapError as exc:
        problem = f"the listing could not be read: {exc}"
        return Preflight(listing=None, facts=None, problem=problem, denied=_is_denial(exc))
    return Preflight(listing=listing, facts=None)


async def read_target_identity(access: ClusterAccess) -> TargetIdentity:
    """Ask a cluster who it is.

    Raises:
        OntapError: it does not tell.
    """
    return _target_identity(access, await access.ask(read_identity()))


def _target_identity(access: ClusterAccess, identity: ClusterIdentity) -> TargetIdentity:
    stated = identity.uuid is not None and _UUID.fullmatch(identity.uuid)
    return TargetIdentity(uuid=identity.uuid if stated else None, origin=access.config.endpoint.origin)


async def _read_facts(access: ClusterAccess) -> tuple[ClusterIdentity, GuardFacts | None]:
    """Read who the cluster is, who names which version, and what goes on; None where something is missing.

    Raises:
        OntapError: a fact could not be read.
    """
    deadline = access.deadline(asyncio.get_running_loop().time())
    identity = await access.ask(read_identity(), deadline=deadline, is_fact=True)
    software = await access.ask(read_software(), deadline=deadline, is_fact=True)
    download_state = await access.ask(read_download_state(), deadline=deadline, is_fact=True)
    nodes = software.node_versions
    if software.version is None or nodes is None:
        return identity, None
    facts = GuardFacts(
        named=dict(reversed(list(_named(identity, software, nodes)))),
        update_state=software.update_state,
        download_state=download_state,
    )
    return identity, facts


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


def _is_denial(error: OntapError) -> bool:
    return isinstance(error, Unauthorized | Forbidden)
