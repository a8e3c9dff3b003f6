"""The first tables."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Integer,
    Text,
    text,
)

revision = "0001"
down_revision = None

_ID = BigInteger().with_variant(Integer, "sqlite")


def upgrade(op: Operations) -> None:
    """Make the tables."""
    _make_runs(op)
    _make_deletions(op)
    _make_totals(op)


def _make_runs(op: Operations) -> None:
    op.create_table(
        "cleanup_runs",
        Column("id", _ID, primary_key=True),
        Column("cluster", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("dry_run", Boolean, nullable=False),
        Column("started_timestamp_seconds", Double, nullable=False),
        Column("ended_timestamp_seconds", Double),
        Column("success", Boolean),
        Column("error", Text, nullable=False),
        Column("plan", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("cleanup_runs_of_policy", "cleanup_runs", ["cluster", "policy", "id"])


def _make_deletions(op: Operations) -> None:
    op.create_table(
        "cleanup_deletions",
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
        CheckConstraint(
            "(phase = 'ended') = (outcome IS NOT NULL)"
            " AND (phase = 'ended') = (ended_timestamp_seconds IS NOT NULL)",
            name="cleanup_deletions_ended_with_outcome",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("cleanup_deletions_of_run", "cleanup_deletions", ["run_id"])
    op.create_index("cleanup_deletions_of_version", "cleanup_deletions", ["cluster", "version", "id"])
    op.create_index(
        "cleanup_deletions_one_unended",
        "cleanup_deletions",
        ["cluster", "version"],
        unique=True,
        sqlite_where=text("phase != 'ended'"),
        postgresql_where=text("phase != 'ended'"),
    )


def _make_totals(op: Operations) -> None:
    op.create_table(
        "cleanup_policies",
        Column("cluster", Text, primary_key=True),
        Column("policy", Text, primary_key=True),
        Column("candidates", Integer, nullable=False),
        Column("last_started_timestamp_seconds", Double, nullable=False),
        Column("last_ended_timestamp_seconds", Double),
        Column("last_success", Boolean),
        Column("last_success_timestamp_seconds", Double),
    )
    op.create_table(
        "cleanup_outcomes",
        Column("cluster", Text, primary_key=True),
        Column("policy", Text, primary_key=True),
        Column("outcome", Text, primary_key=True),
        Column("deletions", BigInteger, nullable=False),
    )
    op.create_table(
        "cleanup_codes",
        Column("cluster", Text, primary_key=True),
        Column("policy", Text, primary_key=True),
        Column("code", Text, primary_key=True),
        Column("deletions", BigInteger, nullable=False),
    )
    op.create_table(
        "cleanup_durations",
        Column("policy", Text, primary_key=True),
        Column("up_to_seconds", Double, primary_key=True),
        Column("deletions", BigInteger, nullable=False),
        Column("sum_seconds", Double, nullable=False),
    )
