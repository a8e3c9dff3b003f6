"""The totals: counted in the transaction of what they count, and kept when the runs themselves are pruned."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import ColumnElement, Table, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from exporter.cleanup.journal.tables import CODES, DURATIONS, OUTCOMES, POLICIES
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Deletion, Durations, Outcome, PolicyTotals

Key = tuple[str, str]
"""(cluster, policy)."""


async def note_start(connection: AsyncConnection, key: Key, *, candidates: int, now: float) -> None:
    """Remember that a run has begun."""
    values = {"candidates": candidates, "last_started_timestamp_seconds": now}
    of_key = _named(POLICIES, {"cluster": key[0], "policy": key[1]})
    if (await connection.execute(update(POLICIES).where(of_key).values(values))).rowcount == 0:
        await connection.execute(insert(POLICIES).values(cluster=key[0], policy=key[1], **values))


async def note_end(connection: AsyncConnection, key: Key, *, success: bool, now: float) -> None:
    """Remember that a run has ended."""
    values: dict[str, object] = {"last_ended_timestamp_seconds": now, "last_success": success}
    if success:
        values["last_success_timestamp_seconds"] = now
    of_key = _named(POLICIES, {"cluster": key[0], "policy": key[1]})
    await connection.execute(update(POLICIES).where(of_key).values(values))


async def count_outcome(connection: AsyncConnection, deletion: Deletion) -> None:
    """Count a deletion that has ended."""
    names = {"cluster": deletion.cluster, "policy": deletion.policy}
    await _add(connection, OUTCOMES, {**names, "outcome": deletion.outcome}, {"deletions": 1})
    if deletion.code:
        await _add(connection, CODES, {**names, "code": deletion.code}, {"deletions": 1})


async def count_duration(connection: AsyncConnection, policy: str, *, seconds: float) -> None:
    """Count how long a deletion took."""
    bound = next((bound for bound in DURATION_BUCKETS_SECONDS if seconds <= bound), math.inf)
    names = {"policy": policy, "up_to_seconds": bound}
    await _add(connection, DURATIONS, names, {"deletions": 1, "sum_seconds": seconds})


async def read_totals(connection: AsyncConnection) -> Mapping[Key, PolicyTotals]:
    """Return what has happened, by cluster and policy."""
    outcomes: dict[Key, dict[Outcome, int]] = defaultdict(lambda: dict.fromkeys(Outcome, 0))
    for row in await connection.execute(select(OUTCOMES)):
        outcomes[row.cluster, row.policy][Outcome(row.outcome)] = row.deletions
    codes: dict[Key, dict[str, int]] = defaultdict(dict)
    for row in await connection.execute(select(CODES).order_by(CODES.c.code)):
        codes[row.cluster, row.policy][row.code] = row.deletions
    policies = await connection.execute(select(POLICIES).order_by(POLICIES.c.cluster, POLICIES.c.policy))
    return MappingProxyType(
        {
            (row.cluster, row.policy): PolicyTotals(
                outcomes=MappingProxyType(outcomes[row.cluster, row.policy]),
                codes=MappingProxyType(codes[row.cluster, row.policy]),
                candidates=row.candidates,
                last_started_timestamp_seconds=row.last_started_timestamp_seconds,
                last_ended_timestamp_seconds=row.last_ended_timestamp_seconds,
                last_success=row.last_success,
                last_success_timestamp_seconds=row.last_success_timestamp_seconds,
            )
            for row in policies
        }
    )


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


async def _add(
    connection: AsyncConnection, table: Table, names: Mapping[str, object], amounts: Mapping[str, float]
) -> None:
    """Add to the row of these names, or make it; nobody else writes meanwhile."""
    sums = {name: table.c[name] + amount for name, amount in amounts.items()}
    changed = await connection.execute(update(table).where(_named(table, names)).values(sums))
    if changed.rowcount == 0:
        await connection.execute(insert(table).values(**names, **amounts))


def _named(table: Table, names: Mapping[str, object]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in names.items()))
