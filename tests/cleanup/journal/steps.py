"""Steps that many tests take, and what must hold whatever has happened."""

from __future__ import annotations

import math
from collections import Counter

from exporter.cleanup.journal import Journal
from exporter.cleanup.records import Deletion, Outcome, Phase

ALL_RUNS = 100_000


async def new_run(journal: Journal, *, cluster: str = "ams", policy: str = "old", now: float = 100.0) -> int:
    return await journal.begin_run(
        cluster=cluster, policy=policy, dry_run=False, plan="[]", candidates=1, now=now
    )


async def deletion_in(journal: Journal, phase: Phase, *, version: str = "9.9.1") -> Deletion:
    """Return a new deletion, of a new run, that has come to this phase."""
    deletion = await journal.intend(await new_run(journal), version=version, now=110.0)
    match phase:
        case Phase.INTENDED:
            return deletion
        case Phase.WAITING:
            return await journal.wait(deletion, code="1", message="busy")
        case Phase.FOLLOWED:
            return await journal.follow(deletion, job_uuid="j")
        case Phase.ENDED:
            return await succeed(journal, deletion)


async def succeed(journal: Journal, deletion: Deletion, *, now: float = 120.0) -> Deletion:
    return await journal.end(deletion, outcome=Outcome.SUCCESS, code="", message="gone", now=now)


async def assert_consistent(journal: Journal) -> tuple[Deletion, ...]:
    """Compare the totals with the deletions, none of which has been pruned; return them."""
    deletions = [deletion for run in await journal.recent_runs(ALL_RUNS) for deletion in run.deletions]
    ended = [deletion for deletion in deletions if deletion.phase is Phase.ENDED]
    counted: Counter[tuple[str, str, Outcome]] = Counter()
    codes: Counter[tuple[str, str, str]] = Counter()
    for (cluster, policy), totals in (await journal.totals()).items():
        counted.update({(cluster, policy, outcome): n for outcome, n in totals.outcomes.items() if n})
        codes.update({(cluster, policy, code): n for code, n in totals.codes.items()})
    assert counted == Counter((one.cluster, one.policy, one.outcome) for one in ended)
    assert codes == Counter((one.cluster, one.policy, one.code) for one in ended if one.code)
    sent = [one for one in ended if one.attempts]
    durations = await journal.durations()
    assert {policy: found.buckets[-1] for policy, found in durations.items()} == Counter(
        one.policy for one in sent
    )
    assert math.isclose(
        sum(found.sum_seconds for found in durations.values()),
        sum((one.ended_timestamp_seconds or 0.0) - one.intended_timestamp_seconds for one in sent),
    )
    unended = sorted(set(deletions) - set(ended), key=lambda one: one.id)
    assert await journal.unended() == tuple(unended)
    return tuple(deletions)
