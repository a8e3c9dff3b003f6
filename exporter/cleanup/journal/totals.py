"""The totals: counted in the transaction of what they count, and kept when the runs themselves are pruned."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, select, tuple_, update

from exporter.cleanup.journal.database import Store, insert_or_update, transaction
from exporter.cleanup.journal.tables import CODES, DATABASE_CLOCK, DURATIONS, POLICIES
from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import DURATION_BUCKETS_SECONDS, Deletion, Durations, PolicyTotals, Totals

MAX_CODES = 50
"""This many error codes are counted by themselves on a cluster under a policy; others count as ``other``."""
OTHER_CODES = "other"
POLICIES_PER_QUERY = 100
"""How many totals one query reads, so that reading all of a large fleet never holds up the process."""
MAX_COMMIT_DELAY_SECONDS = 30.0
"""A transaction is committed at most so much later than the database's clock was read in it."""


class TotalsStore(Store):
    """What has happened since the journal began."""

    async def changed(
        self, since: float | None = None, *, per_query: int = POLICIES_PER_QUERY
    ) -> AsyncIterator[Totals]:
        """Yield what has changed, in the order of cluster and policy; in between, other work goes on.

        ``since`` is ``read_until`` of an earlier answer, to leave out what has not changed since.
        """
        after: tuple[str, str] | None = None
        read_until: float | None = None
        while True:
            some = await self._read(since or 0.0, after, read_until, limit=per_query)
            yield some
            if len(some.policies) < per_query:
                return
            after, read_until = list(some.policies)[-1], some.read_until

    @transaction("read the totals")
    def _read(
        self,
        connection: Connection,
        since: float,
        after: tuple[str, str] | None,
        read_until: float | None,
        *,
        limit: int,
    ) -> Totals:
        """Return the totals that follow on a cluster and policy."""
        if read_until is None:
            read_until = connection.execute(select(DATABASE_CLOCK)).scalar_one() - MAX_COMMIT_DELAY_SECONDS
        key = tuple_(POLICIES.c.cluster, POLICIES.c.policy)
        wanted = POLICIES.c.changed_seconds >= since
        if after is not None:
            wanted = and_(wanted, key > tuple_(*after))
        ordered = select(POLICIES).where(wanted).order_by(POLICIES.c.cluster, POLICIES.c.policy).limit(limit)
        rows = {(row.cluster, row.policy): row for row in connection.execute(ordered)}
        codes: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        if rows:  # joined, because SQLite would read the whole table for a list of pairs
            last = key <= tuple_(*list(rows)[-1])
            same = and_(CODES.c.cluster == POLICIES.c.cluster, CODES.c.policy == POLICIES.c.policy)
            of_policies = select(CODES).join(POLICIES, same).where(wanted, last).order_by(CODES.c.code)
            for row in connection.execute(of_policies):
                codes[row.cluster, row.policy][row.code] = row.deletions
        return Totals(
            policies={names: _totals(row, codes[names]) for names, row in rows.items()},
            durations=_durations(connection) if after is None else None,
            read_until=read_until,
        )


def note_start(
    connection: Connection,
    cluster: str,
    policy: str,
    *,
    candidates: int,
    planned: Mapping[tuple[str, str], int] | None,
    now: float,
) -> None:
    """Remember that a run has begun."""
    values = {"changed_seconds": DATABASE_CLOCK, "last_started_timestamp_seconds": now}
    if planned is not None:
        values["candidates"] = candidates
        values["planned"] = json.dumps([[*key, count] for key, count in sorted(planned.items())])
    noting = insert_or_update(connection, POLICIES, values)
    first = {"candidates": candidates, "last_failure": "", **values}
    connection.execute(noting.values(cluster=cluster, policy=policy, **first))


def note_end(
    connection: Connection, cluster: str, policy: str, *, success: bool, failure: str, now: float
) -> None:
    """Remember that a run has ended."""
    values = {"last_ended_timestamp_seconds": now, "last_success": success, "last_failure": failure}
    if success:
        values["last_success_timestamp_seconds"] = now
    _change(connection, cluster, policy, values)


def count_outcome(connection: Connection, deletion: Deletion) -> None:
    """Count a deletion that has ended."""
    column = f"ended_{deletion.outcome}"
    _change(connection, deletion.cluster, deletion.policy, {column: POLICIES.c[column] + 1})
    if not deletion.code:
        return
    of_policy = and_(CODES.c.cluster == deletion.cluster, CODES.c.policy == deletion.policy)
    codes = set(connection.execute(select(CODES.c.code).where(of_policy)).scalars())
    has_own_count = deletion.code in codes or len(codes) < MAX_CODES
    code = deletion.code if has_own_count else OTHER_CODES
    names = {"cluster": deletion.cluster, "policy": deletion.policy, "code": code}
    _add(connection, CODES, names, {"deletions": 1})


def count_duration(connection: Connection, policy: str, *, seconds: float) -> None:
    """Count how long a deletion took."""
    bound = next((bound for bound in DURATION_BUCKETS_SECONDS if seconds <= bound), math.inf)
    names = {"policy": policy, "up_to_seconds": bound}
    _add(connection, DURATIONS, names, {"deletions": 1, "sum_seconds": seconds})


def _durations(connection: Connection) -> Mapping[str, Durations]:
    """Return how long deletions took since the journal began, by policy."""
    found: dict[str, list[tuple[float, int, float]]] = defaultdict(list)
    for row in connection.execute(select(DURATIONS).order_by(DURATIONS.c.policy)):
        found[row.policy].append((row.up_to_seconds, row.deletions, row.sum_seconds))
    return {
        policy: Durations(
            buckets=tuple(
                sum(count for bound, count, _ in counts if bound <= limit)
                for limit in (*DURATION_BUCKETS_SECONDS, math.inf)
            ),
            sum_seconds=math.fsum(seconds for _, _, seconds in counts),
        )
        for policy, counts in found.items()
    }


def _change(connection: Connection, cluster: str, policy: str, values: Mapping[str, object]) -> None:
    of_policy = and_(POLICIES.c.cluster == cluster, POLICIES.c.policy == policy)
    connection.execute(update(POLICIES).where(of_policy).values(changed_seconds=DATABASE_CLOCK, **values))


def _add(
    connection: Connection, table: Table, names: Mapping[str, object], amounts: Mapping[str, float]
) -> None:
    """Add to the row of these names, or make it."""
    sums = {name: table.c[name] + amount for name, amount in amounts.items()}
    connection.execute(insert_or_update(connection, table, sums).values(**names, **amounts))


def _totals(row: Row[Any], codes: dict[str, int]) -> PolicyTotals:
    planned = None
    if row.planned is not None:
        planned = {(verdict, reason): count for verdict, reason, count in json.loads(row.planned)}
    return PolicyTotals(
        outcomes={outcome: getattr(row, f"ended_{outcome}") for outcome in Outcome},
        codes=codes,
        candidates=None if planned is None else row.candidates,
        planned=planned,
        last_started_timestamp_seconds=row.last_started_timestamp_seconds,
        last_ended_timestamp_seconds=row.last_ended_timestamp_seconds,
        last_success=row.last_success,
        last_failure=row.last_failure,
        last_success_timestamp_seconds=row.last_success_timestamp_seconds,
    )
