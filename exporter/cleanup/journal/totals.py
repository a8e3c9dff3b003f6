"""The totals: counted in the transaction of what they count, and kept when the runs themselves are pruned."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Table, and_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.database import insert_or_update
from exporter.cleanup.journal.tables import CODES, DATABASE_CLOCK, DURATIONS, POLICIES
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Deletion, Durations, Outcome, PolicyTotals

Key = tuple[str, str]
"""(cluster, policy)."""

MAX_CODES = 50
"""So many error codes are told apart on a cluster under a policy; the rest count as ``other``."""
OTHER_CODES = "other"
READ_TOGETHER = 200
"""So many totals are read by one query, so that reading all of a large fleet never holds up the process."""
LATE_SECONDS = 30.0
"""A transaction is committed at most so much later than the database's clock was read in it."""


async def note_start(
    connection: AsyncConnection, cluster: str, policy: str, *, candidates: int, now: float
) -> None:
    """Remember that a run has begun."""
    values = {
        "changed_seconds": DATABASE_CLOCK,
        "candidates": candidates,
        "last_started_timestamp_seconds": now,
    }
    noting = insert_or_update(connection, POLICIES, values)
    await connection.execute(noting.values(cluster=cluster, policy=policy, last_failure="", **values))


async def note_end(
    connection: AsyncConnection, cluster: str, policy: str, *, success: bool, failure: str, now: float
) -> None:
    """Remember that a run has ended."""
    values = {"last_ended_timestamp_seconds": now, "last_success": success, "last_failure": failure}
    if success:
        values["last_success_timestamp_seconds"] = now
    await _change(connection, cluster, policy, values)


async def count_outcome(connection: AsyncConnection, deletion: Deletion) -> None:
    """Count a deletion that has ended."""
    column = f"ended_{deletion.outcome}"
    await _change(connection, deletion.cluster, deletion.policy, {column: POLICIES.c[column] + 1})
    if not deletion.code:
        return
    of_policy = and_(CODES.c.cluster == deletion.cluster, CODES.c.policy == deletion.policy)
    codes = set((await connection.execute(select(CODES.c.code).where(of_policy))).scalars())
    told_apart = deletion.code in codes or len(codes) < MAX_CODES
    code = deletion.code if told_apart else OTHER_CODES
    names = {"cluster": deletion.cluster, "policy": deletion.policy, "code": code}
    await _add(connection, CODES, names, {"deletions": 1})


async def count_duration(connection: AsyncConnection, policy: str, *, seconds: float) -> None:
    """Count how long a deletion took."""
    bound = next((bound for bound in DURATION_BUCKETS_SECONDS if seconds <= bound), math.inf)
    names = {"policy": policy, "up_to_seconds": bound}
    await _add(connection, DURATIONS, names, {"deletions": 1, "sum_seconds": seconds})


async def read_clock(connection: AsyncConnection) -> float:
    """Return from when on changes may not have been committed yet, by the database's clock."""
    return float((await connection.execute(select(DATABASE_CLOCK))).scalar_one()) - LATE_SECONDS


async def read_totals(
    connection: AsyncConnection, *, after: Key | None, changed_since: float, limit: int
) -> dict[Key, PolicyTotals]:
    """Return the next totals that have changed, in the order of cluster and policy.

    Args:
        connection: where they are.
        after: the last key that was read before; None: from the first.
        changed_since: by the database's clock.
        limit: so many at most.
    """
    key = tuple_(POLICIES.c.cluster, POLICIES.c.policy)
    wanted = [POLICIES.c.changed_seconds >= changed_since]
    if after is not None:
        wanted.append(key > tuple_(*after))
    ordered = select(POLICIES).where(*wanted).order_by(POLICIES.c.cluster, POLICIES.c.policy)
    policies = (await connection.execute(ordered.limit(limit))).all()
    if not policies:
        return {}
    last = policies[-1]
    wanted.append(key <= tuple_(last.cluster, last.policy))
    same = and_(CODES.c.cluster == POLICIES.c.cluster, CODES.c.policy == POLICIES.c.policy)
    codes: dict[Key, dict[str, int]] = defaultdict(dict)
    of_policies = select(CODES).join(POLICIES, same).where(*wanted).order_by(CODES.c.code)
    for row in await connection.execute(of_policies):
        codes[row.cluster, row.policy][row.code] = row.deletions
    return {(row.cluster, row.policy): _totals(row, codes[row.cluster, row.policy]) for row in policies}


async def read_durations(connection: AsyncConnection) -> Mapping[str, Durations]:
    """Return how long deletions took, by policy."""
    found: dict[str, list[tuple[float, int, float]]] = defaultdict(list)
    for row in await connection.execute(select(DURATIONS).order_by(DURATIONS.c.policy)):
        found[row.policy].append((row.up_to_seconds, row.deletions, row.sum_seconds))
    return MappingProxyType(
        {
            policy: Durations(
                buckets=tuple(
                    sum(count for bound, count, _ in counts if bound <= limit)
                    for limit in (*DURATION_BUCKETS_SECONDS, math.inf)
                ),
                sum_seconds=math.fsum(seconds for _, _, seconds in counts),
            )
            for policy, counts in found.items()
        }
    )


async def _change(
    connection: AsyncConnection, cluster: str, policy: str, values: Mapping[str, object]
) -> None:
    of_policy = and_(POLICIES.c.cluster == cluster, POLICIES.c.policy == policy)
    await connection.execute(
        update(POLICIES).where(of_policy).values(changed_seconds=DATABASE_CLOCK, **values)
    )


async def _add(
    connection: AsyncConnection, table: Table, names: Mapping[str, object], amounts: Mapping[str, float]
) -> None:
    """Add to the row of these names, or make it."""
    sums = {name: table.c[name] + amount for name, amount in amounts.items()}
    await connection.execute(insert_or_update(connection, table, sums).values(**names, **amounts))


def _totals(row: Row[Any], codes: dict[str, int]) -> PolicyTotals:
    return PolicyTotals(
        outcomes=MappingProxyType({outcome: getattr(row, f"ended_{outcome}") for outcome in Outcome}),
        codes=MappingProxyType(codes),
        candidates=row.candidates,
        last_started_timestamp_seconds=row.last_started_timestamp_seconds,
        last_ended_timestamp_seconds=row.last_ended_timestamp_seconds,
        last_success=row.last_success,
        last_failure=row.last_failure,
        last_success_timestamp_seconds=row.last_success_timestamp_seconds,
    )
