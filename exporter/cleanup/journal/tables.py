"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
)

from exporter.cleanup.records import Phase

VERSION_TABLE = "cleanup_schema_version"
"""Where Alembic keeps the revision."""

METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""

RUNS = Table(
    "cleanup_runs",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("started_timestamp_seconds", Double, nullable=False),
    Column("ended_timestamp_seconds", Double),
    Column("success", Boolean),
    Column("error", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Index("cleanup_runs_of_policy", "cluster", "policy", "id"),
    sqlite_autoincrement=True,  # the id of a pruned run never comes back
)

DELETIONS = Table(
    "cleanup_deletions",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("run_id", _ID, ForeignKey("cleanup_runs.id"), nullable=False),
    Column("cluster", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("intended_timestamp_seconds", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("job_uuid", Text),
    Column("earlier_job_uuids", Text, nullable=False, server_default=""),
    Column("outcome", Text),
    Column("ended_timestamp_seconds", Double),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("sent_to", Text),  # the cluster's uuid, else its origin; NULL: noted by an older version
    Column("sent_to_origin", Text),
    CheckConstraint(
        "(phase = 'ended') = (outcome IS NOT NULL)"
        " AND (phase = 'ended') = (ended_timestamp_seconds IS NOT NULL)",
        name="cleanup_deletions_ended_with_outcome",
    ),
    Index("cleanup_deletions_of_run", "run_id"),
    Index("cleanup_deletions_of_version", "cluster", "version", "id"),
    Index("cleanup_deletions_of_recipient", "sent_to", "version", "id"),
    sqlite_autoincrement=True,
)
Index(
    "cleanup_deletions_one_unended",
    DELETIONS.c.cluster,
    DELETIONS.c.version,
    DELETIONS.c.sent_to,
    unique=True,
    sqlite_where=DELETIONS.c.phase != Phase.ENDED.value,
    postgresql_where=DELETIONS.c.phase != Phase.ENDED.value,
)
_UNENDED_OF_UNKNOWN = and_(DELETIONS.c.phase != Phase.ENDED.value, DELETIONS.c.sent_to.is_(None))
Index(
    "cleanup_deletions_one_unended_of_unknown",
    DELETIONS.c.cluster,
    DELETIONS.c.version,
    unique=True,
    sqlite_where=_UNENDED_OF_UNKNOWN,
    postgresql_where=_UNENDED_OF_UNKNOWN,
)

# The totals: never pruned, one row for each combination of labels.
POLICIES = Table(
    "cleanup_policies",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("policy", Text, primary_key=True),
    Column("candidates", Integer, nullable=False),
    Column("last_started_timestamp_seconds", Double, nullable=False),
    Column("last_ended_timestamp_seconds", Double),
    Column("last_success", Boolean),
    Column("last_success_timestamp_seconds", Double),
)

OUTCOMES = Table(
    "cleanup_outcomes",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("policy", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("deletions", BigInteger, nullable=False),
)

CODES = Table(
    "cleanup_codes",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("policy", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("deletions", BigInteger, nullable=False),
)

DURATIONS = Table(
    "cleanup_durations",
    METADATA,
    Column("policy", Text, primary_key=True),
    Column("up_to_seconds", Double, primary_key=True),  # the bucket's bound, or infinity; not cumulative
    Column("deletions", BigInteger, nullable=False),
    Column("sum_seconds", Double, nullable=False),
)
