"""Reads clusters, and makes the plan of each policy on each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exporter.cleanup.approval import SavedPlans
from exporter.cleanup.decide.plan import Approved, Plan, VerdictReason
from exporter.cleanup.decide.policy import make_plan
from exporter.cleanup.policy_values import digest_of, rules_of
from exporter.cleanup.preflight import Preflight, read_being_deleted, read_preflight
from exporter.cleanup.records import Stops
from exporter.config import CleanupConfig, Config, DatabaseUrl, PolicyConfig, SqliteUrl
from exporter.ontap.access import AccessOpener, ClusterAccess
from exporter.ontap.client import RequestCounts
from exporter.ontap.cluster_settings import ClusterSettings
from exporter.ontap.session import open_session

_WAITING = frozenset(
    {
        VerdictReason.SEEN_UNKNOWN,
        VerdictReason.SEEN_TOO_SHORTLY,
        VerdictReason.NOT_APPROVED,
        VerdictReason.OVER_LIMIT,
    }
)
"""Why a package that a policy retires is not deleted yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """The plan of one policy on one cluster."""

    cluster: str
    cluster_uuid: str | None
    policy: PolicyConfig
    plan: Plan

    @property
    def waiting(self) -> int:
        """How many packages the policy retires, but does not delete yet."""
        return sum(decision.reason in _WAITING for decision in self.plan.decisions)

    @property
    def kept(self) -> int:
        """How many packages the policy does not retire."""
        return len(self.plan.decisions) - len(self.plan.chosen) - self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What every policy would do.

    Attributes:
        made_timestamp_seconds: Unix seconds.
        plans: one for each policy on each cluster that it applies to, in the order of the configuration.
        warnings: what the journal says against deleting what is chosen, or why it could not be read.
    """

    made_timestamp_seconds: float
    plans: tuple[ClusterPlan, ...]
    warnings: tuple[str, ...]


def with_policy(config: Config, clusters: Iterable[ClusterSettings]) -> tuple[ClusterSettings, ...]:
    """Return the clusters that some policy applies to."""
    policies = config.cleanup.policies if config.cleanup else ()
    return tuple(one for one in clusters if any(policy.clusters.has(one) for policy in policies))


async def make_plans(
    config: Config,
    clusters: Iterable[ClusterSettings],
    *,
    for_approval: bool = False,
    on_read: Callable[[], None],
) -> Plans:
    """Read clusters and plan; nothing is deleted and nothing is stored.

    Args:
        config: the policies.
        clusters: some policy applies to each.
        for_approval: whether what no saved plan has approved yet is chosen all the same.
        on_read: called whenever a cluster has been read, or could not be.
    """
    policies = config.cleanup.policies if config.cleanup else ()
    wanted = tuple(clusters)
    semaphore = asyncio.Semaphore(config.max_concurrent_polls)

    async def read(access: ClusterAccess) -> Preflight:
        async with semaphore:
            found = await read_preflight(access, clock=time.monotonic)
        on_read()
        return found

    async with open_session() as session:
        accesses = AccessOpener(session=session, counts=RequestCounts()).open(wanted)
        found = dict(zip(accesses, await asyncio.gather(*map(read, accesses.values())), strict=True))
        now = time.time()
        warnings: tuple[str, ...] = ()
        if config.cleanup is not None:
            found, warnings = await _with_journal(found, accesses, config.cleanup, now=now)
    saved = SavedPlans()
    approvals = {
        policy.name: None if for_approval else await saved.approval_of(policy, now=now) for policy in policies
    }
    return Plans(
        made_timestamp_seconds=now,
        plans=tuple(
            _plan(cluster.name, found[cluster.name], policy, approvals[policy.name], now=now)
            for cluster in wanted
            for policy in policies
            if policy.clusters.has(cluster)
        ),
        warnings=warnings,
    )


async def _with_journal(
    found: Mapping[str, Preflight],
    accesses: Mapping[str, ClusterAccess],
    cleanup: CleanupConfig,
    *,
    now: float,
) -> tuple[dict[str, Preflight], tuple[str, ...]]:
    """Add what the journal knows: since when each package has been there, and what may be being deleted.

    Say too what stops deleting, or that the journal cannot be read; not if there is none yet and no policy
    needs what it has seen.
    """
    from exporter.cleanup.journal import JournalError, read_journal  # noqa: PLC0415 - database libraries

    known = dict(found)
    try:
        async with read_journal(cleanup.state) as journal:
            stops = await journal.stops.read()
            deleted = await journal.stops.deleted_in_last_day()
            for name, preflight in found.items():
                if preflight.facts is None:
                    continue
                uuid = preflight.facts.cluster_uuid
                given_up = await journal.deletions.given_up(uuid)
                known[name] = preflight.with_facts(
                    being_deleted=await read_being_deleted(accesses[name], given_up, now=now),
                    first_seen=await journal.seen.since(uuid, now=now),
                )
    except JournalError as exc:
        needs_first_seen = any(policy.seen_for for policy in cleanup.policies)
        if not needs_first_seen and not _may_be_there(cleanup.state):
            return dict(found), ()
        unknown = "no package counts as seen" if needs_first_seen else "what stops deleting is not known"
        return dict(found), (f"the journal could not be read, so {unknown}: {exc}",)
    return known, tuple(_stopped(cleanup, stops, deleted))


def _may_be_there(journal: DatabaseUrl) -> bool:
    """Say whether there may be a journal; not if its file is missing in a folder that can be searched."""
    try:
        return not isinstance(journal, SqliteUrl) or journal.path.stat() is not None
    except OSError as exc:
        return not isinstance(exc, FileNotFoundError)


def _stopped(cleanup: CleanupConfig, stops: Stops, deleted: int) -> Iterator[str]:
    if stops.kill_switch:
        yield "the kill switch is on, so nothing is deleted"
    for policy in cleanup.policies:
        if (pause := stops.paused.get((policy.name, digest_of(policy)))) is not None:
            yield f"policy {policy.name} is paused, so it deletes nothing: {pause.reason}"
    if cleanup.max_deletes_per_day is not None and deleted >= cleanup.max_deletes_per_day:
        yield (
            f"max_deletes_per_day is used up: {deleted} deletions were begun in the last 24 hours, of "
            f"{cleanup.max_deletes_per_day}, so nothing more is deleted yet"
        )


def _plan(
    cluster: str, preflight: Preflight, policy: PolicyConfig, approved: Approved | None, *, now: float
) -> ClusterPlan:
    rules = replace(rules_of(policy), approved=approved)
    facts = preflight.facts
    return ClusterPlan(
        cluster=cluster,
        cluster_uuid=None if facts is None else facts.cluster_uuid,
        policy=policy,
        plan=make_plan(rules, preflight.listing, facts, now=now, problem=preflight.problem),
    )
