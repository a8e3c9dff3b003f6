"""Steps that many tests of the journal take, and what must hold whatever has happened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from exporter.cleanup.journal import Journal, open_journal, read_journal
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Deletion, Durations, Lease, Phase, PolicyTotals
from exporter.config.reading.database_url import parse_database_url

ALL_RUNS = 100_000
AMS = "11111111-0000-0000-0000-000000000000"
FRA = "22222222-0000-0000-0000-000000000000"
NAMES = {AMS: "ams", FRA: "fra"}

_lives = count(1)


@asynccontextmanager
async def opened(
    url: str, *, takeover_after_seconds: float = 30.0, transaction_seconds: float = 30.0, **arguments: Any
) -> AsyncIterator[Journal]:
    """Open a journal as a process of its own, which waits as long as a busy machine needs."""
    owner = f"life {next(_lives)}"
    async with open_journal(
        parse_database_url(url, Path()),
        owner=owner,
        takeover_after_seconds=takeover_after_seconds,
        transaction_seconds=transaction_seconds,
        **arguments,
    ) as journal:
        yield journal


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Journal]:
    """Open a journal as the command ``plan`` does."""
    async with read_journal(parse_database_url(url, Path())) as journal:
        yield journal


async def lease_of(journal: Journal, uuid: str = AMS) -> Lease:
    """Acquire a cluster's lease, which must be free."""
    return (await journal.leases.acquire([uuid]))[uuid]


async def new_run(
    journal: Journal, lease: Lease, *, policy: str = "old", dry_run: bool = False, now: float = 100.0
) -> int:
    return await journal.runs.begin(
        lease,
        cluster=NAMES.get(lease.cluster_uuid, lease.cluster_uuid),
        policy=policy,
        dry_run=dry_run,
        plan="[]",
        candidates=1,
        now=now,
    )


async def intend(
    journal: Journal,
    lease: Lease,
    run_id: int,
    *,
    version: str = "9.9.1",
    max_deletes_per_day: int | None = None,
    policy_digest: str = "d1",
    now: float = 110.0,
) -> Deletion:
    return await journal.deletions.intend(
        lease,
        run_id,
        version=version,
        create_timestamp_seconds=50.0,
        earlier_job_uuids=(),
        max_deletes_per_day=max_deletes_per_day,
        policy_digest=policy_digest,
        now=now,
    )


async def deletion_in(
    journal: Journal, lease: Lease, phase: Phase, *, version: str = "9.9.1", policy: str = "old"
) -> Deletion:
    """Return a new deletion, of a new run, that has come to this phase."""
    deletion = await intend(journal, lease, await new_run(journal, lease, policy=policy), version=version)
    match phase:
        case Phase.INTENDED:
            return deletion
        case Phase.WAITING:
            return await journal.deletions.wait(lease, deletion, code="1", message="busy")
        case Phase.FOLLOWED:
            return await journal.deletions.follow(lease, deletion, job_uuid="j")
        case Phase.ENDED:
            return await end(journal, lease, deletion)


async def end(
    journal: Journal,
    lease: Lease,
    deletion: Deletion,
    outcome: Outcome = Outcome.SUCCESS,
    *,
    code: str = "",
    message: str = "gone",
    stop_after_failures: int = 0,
    now: float = 120.0,
) -> Deletion:
    return await journal.deletions.end(
        lease,
        deletion,
        outcome=outcome,
        code=code,
        message=message,
        stop_after_failures=stop_after_failures,
        now=now,
    )


WRITES: dict[str, Callable[[Journal, Lease, Deletion], Any]] = {
    "begin_run": lambda journal, lease, _: new_run(journal, lease),
    "end_run": lambda journal, lease, deletion: journal.runs.end(
        lease, deletion.run_id, success=True, now=130.0
    ),
    "prune": lambda journal, lease, _: journal.runs.prune(lease, keep=0),
    "intend": lambda journal, lease, deletion: intend(journal, lease, deletion.run_id, version="9.9.2"),
    "intend_again": lambda journal, lease, deletion: journal.deletions.intend_again(
        lease, deletion, create_timestamp_seconds=50.0
    ),
    "wait": lambda journal, lease, deletion: journal.deletions.wait(
        lease, deletion, code="7", message="busy"
    ),
    "follow": lambda journal, lease, deletion: journal.deletions.follow(lease, deletion, job_uuid="j"),
    "end": end,
    "end_unsent": lambda journal, lease, deletion: journal.deletions.end_unsent(
        lease, deletion.run_id, version="9.9.3", outcome=Outcome.PROTECTED, message="in use", now=130.0
    ),
}
"""Every method that writes under one lease; ``seen.note`` and ``runs.inherit`` write under many."""


async def totals_of(journal: Journal) -> dict[tuple[str, str], PolicyTotals]:
    """Return all totals, by cluster and policy."""
    return {key: one async for some in journal.totals.changed() for key, one in some.policies.items()}


async def durations_of(journal: Journal) -> Mapping[str, Durations]:
    """Return how long deletions took, by policy."""
    return (await anext(journal.totals.changed())).durations or {}


async def unfinished_on(journal: Journal, uuid: str) -> tuple[Deletion, ...]:
    """Return the deletions of a cluster without an outcome."""
    found = (one for one in await deletions_of(journal) if one.cluster_uuid == uuid)
    return tuple(one for one in found if one.phase is not Phase.ENDED)


async def deletions_of(journal: Journal) -> list[Deletion]:
    """Return every deletion that has not been pruned."""
    return [deletion for run in await journal.runs.recent(ALL_RUNS) for deletion in run.deletions]


async def assert_consistent(journal: Journal) -> list[Deletion]:
    """Compare the totals with the deletions, none of which has been pruned; return them."""
    deletions = await deletions_of(journal)
    ended = [deletion for deletion in deletions if deletion.phase is Phase.ENDED]
    counted: Counter[tuple[str, str, Outcome]] = Counter()
    codes: Counter[tuple[str, str, str]] = Counter()
    for (cluster, policy), totals in (await totals_of(journal)).items():
        counted.update({(cluster, policy, outcome): n for outcome, n in totals.outcomes.items() if n})
        codes.update({(cluster, policy, code): n for code, n in totals.codes.items()})
    assert counted == Counter((one.cluster, one.policy, one.outcome) for one in ended)
    assert codes == Counter((one.cluster, one.policy, one.code) for one in ended if one.code)
    sent = [one for one in ended if one.attempts]
    durations = await durations_of(journal)
    assert {policy: found.buckets[-1] for policy, found in durations.items()} == Counter(
        one.policy for one in sent
    )
    assert math.isclose(
        sum(found.sum_seconds for found in durations.values()),
        sum((one.ended_timestamp_seconds or 0.0) - one.intended_timestamp_seconds for one in sent),
    )
    for uuid in {one.cluster_uuid for one in deletions}:
        unfinished = [one for one in deletions if one.cluster_uuid == uuid and one.phase is not Phase.ENDED]
        assert await unfinished_on(journal, uuid) == tuple(unfinished)
        assert len(unfinished) <= 1
    return deletions
