"""The tables of the journal."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from exporter.cleanup.outcomes import Outcome
from exporter.cleanup.records import Phase

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def sanitize(text: str) -> str:
    """Return the text with U+FFFD for NUL and lone surrogates, which no database can hold."""
    return _NOT_STORABLE.sub("\ufffd", text)


class _Text(TypeDecorator[str]):
    """A text, sanitized wherever it is stored or searched for."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else sanitize(value)


class _Member(_Text):
    """A member of a closed set."""

    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self.members(value)


class _JobUuids(TypeDecorator[frozenset[str]]):
    """Jobs, as a list of JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        return json.dumps(sorted(value or ()))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[str]:  # noqa: ARG002
        return frozenset(json.loads(value or "[]"))


class _Seconds(TypeDecorator[float]):
    """A number with a fraction; SQLite hands some out as whole ones."""

    impl = Double
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:  # noqa: ARG002
        return None if value is None else float(value)


class _DatabaseClock(FunctionElement[float]):
    """The database's own clock, in Unix seconds: the only one that processes on several machines share."""

    type = Double()
    inherit_cache = True


@compiles(_DatabaseClock, "sqlite")
def _sqlite_clock(_: _DatabaseClock, __: SQLCompiler, **___: Any) -> str:  # noqa: ANN401 - as SQLAlchemy has it
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(_DatabaseClock, "postgresql")
def _postgresql_clock(_: _DatabaseClock, __: SQLCompiler, **___: Any) -> str:  # noqa: ANN401
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


DATABASE_CLOCK = _DatabaseClock()

METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""

SCHEMA_VERSION = Table(
    "cleanup_schema_version",
    METADATA,
    Column("version_num", Text, primary_key=True),  # there is one row
)

CONTROL = Table(
    "cleanup_control",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # there is one row, 1
    Column("kill_switch", Boolean, nullable=False),
)

PROCESSES = Table(
    "cleanup_processes",
    METADATA,
    Column("owner", _Text, primary_key=True),
    Column("shard", _Text, nullable=False),  # processes of one shard divide its clusters among themselves
    Column("expires_seconds", _Seconds, nullable=False),
)

LEASES = Table(
    "cleanup_leases",
    METADATA,
    Column("cluster_uuid", _Text, primary_key=True),
    Column("owner", _Text, nullable=False),  # "" if nobody holds it
    Column("epoch", BigInteger, nullable=False),
    Column("expires_seconds", _Seconds),  # NULL if nobody has ever held it
    Column("held_before_until_seconds", _Seconds),  # until when it was held before the present epoch
    Index("cleanup_leases_of_owner", "owner"),
)

CLUSTERS = Table(
    "cleanup_clusters",
    METADATA,
    Column("cluster_uuid", _Text, primary_key=True),
    Column("listed_timestamp_seconds", _Seconds, nullable=False),
)

PACKAGES = Table(
    "cleanup_packages",  # those of the cluster's last listing
    METADATA,
    Column("cluster_uuid", _Text, primary_key=True),
    Column("version", _Text, primary_key=True),
    Column("create_timestamp_seconds", _Seconds),
    Column("first_seen_timestamp_seconds", _Seconds, nullable=False),
)

RUNS = Table(
    "cleanup_runs",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("cluster_uuid", _Text, nullable=False),
    Column("cluster", _Text, nullable=False),
    Column("policy", _Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("started_timestamp_seconds", _Seconds, nullable=False),
    Column("ended_timestamp_seconds", _Seconds),
    Column("success", Boolean),
    Column("failure", _Text, nullable=False),
    Column("error", _Text, nullable=False),
    Column("plan", _Text, nullable=False),
    Index("cleanup_runs_of_policy", "cluster_uuid", "policy", "id"),
    Index("cleanup_runs_of_cluster", "cluster", "id"),
    sqlite_autoincrement=True,  # the id of a pruned run never comes back
)

DELETIONS = Table(
    "cleanup_deletions",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("run_id", _ID, ForeignKey("cleanup_runs.id"), nullable=False),
    Column("cluster_uuid", _Text, nullable=False),
    Column("cluster", _Text, nullable=False),
    Column("policy", _Text, nullable=False),
    Column("policy_digest", _Text, nullable=False),
    Column("version", _Text, nullable=False),
    Column("create_timestamp_seconds", _Seconds),
    Column("phase", _Member(Phase), nullable=False),
    Column("intended_timestamp_seconds", _Seconds, nullable=False),
    Column("intended_database_seconds", _Seconds, nullable=False),  # the same by the database's clock
    Column("attempts", Integer, nullable=False),
    Column("job_uuid", _Text),
    Column("earlier_job_uuids", _JobUuids, nullable=False),
    Column("outcome", _Member(Outcome)),
    Column("ended_timestamp_seconds", _Seconds),
    Column("code", _Text, nullable=False),
    Column("message", _Text, nullable=False),
    CheckConstraint(
        "(phase = 'ended') = (outcome IS NOT NULL)"
        " AND (phase = 'ended') = (ended_timestamp_seconds IS NOT NULL)",
        name="cleanup_deletions_ended_with_outcome",
    ),
    Index("cleanup_deletions_of_run", "run_id"),
    Index("cleanup_deletions_of_version", "cluster_uuid", "version", "id"),
    Index("cleanup_deletions_of_day", "intended_database_seconds"),
    sqlite_autoincrement=True,
)
Index(
    "cleanup_runs_going_on",
    RUNS.c.cluster_uuid,
    sqlite_where=RUNS.c.ended_timestamp_seconds.is_(None),
    postgresql_where=RUNS.c.ended_timestamp_seconds.is_(None),
)
UNFINISHED = DELETIONS.c.phase != Phase.ENDED.value
"""The condition that a deletion has no outcome yet."""
Index(
    "cleanup_deletions_one_unfinished",
    DELETIONS.c.cluster_uuid,
    unique=True,
    sqlite_where=UNFINISHED,
    postgresql_where=UNFINISHED,
)

FAILURES = Table(
    "cleanup_failures",  # of a policy's deletions, in a row
    METADATA,
    Column("policy", _Text, primary_key=True),
    Column("digest", _Text, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    Column("changed_seconds", _Seconds, nullable=False),
    Column("paused_timestamp_seconds", _Seconds),
    Column("reason", _Text, nullable=False),
)

# The totals: never pruned, one row for each combination of labels.
POLICIES = Table(
    "cleanup_policies",
    METADATA,
    Column("cluster", _Text, primary_key=True),
    Column("policy", _Text, primary_key=True),
    Column("changed_seconds", _Seconds, nullable=False),
    Column("candidates", Integer, nullable=False),
    Column("planned", _Text),  # JSON: of the last plan that rests on nothing unknown
    Column("last_started_timestamp_seconds", _Seconds, nullable=False),
    Column("last_ended_timestamp_seconds", _Seconds),
    Column("last_success", Boolean),
    Column("last_failure", _Text, nullable=False),
    Column("last_success_timestamp_seconds", _Seconds),
    *(Column(f"ended_{outcome}", BigInteger, nullable=False, server_default="0") for outcome in Outcome),
    Index("cleanup_policies_changed", "changed_seconds"),
)

CODES = Table(
    "cleanup_codes",
    METADATA,
    Column("cluster", _Text, primary_key=True),
    Column("policy", _Text, primary_key=True),
    Column("code", _Text, primary_key=True),
    Column("deletions", BigInteger, nullable=False),
)

DURATIONS = Table(
    "cleanup_durations",
    METADATA,
    Column("policy", _Text, primary_key=True),
    Column("up_to_seconds", _Seconds, primary_key=True),  # the bucket's bound, or infinity; not cumulative
    Column("deletions", BigInteger, nullable=False),
    Column("sum_seconds", _Seconds, nullable=False),
)
