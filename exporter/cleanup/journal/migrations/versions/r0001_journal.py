"""The first tables."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Double, ForeignKey, Integer, Text, text

revision = "0001"
down_revision = None

_ID = BigInteger().with_variant(Integer, "sqlite")


def upgrade(op: Operations) -> None:
    """Make the tables."""
    _make_leases(op)
    _make_seen(op)
    _make_runs(op)
    _make_deletions(op)
    _make_totals(op)


def _make_leases(op: Operations) -> None:
    op.create_table(
        "cleanup_control",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("kill_switch", Boolean, nullable=False),
    )
    op.execute("INSERT INTO cleanup_control (id, kill_switch) VALUES (1, FALSE)")
    op.create_table(
        "cleanup_processes",
        Column("owner", Text, primary_key=True),
        Column("shard", Text, nullable=False),
        Column("expires_seconds", Double, nullable=False),
    )
    op.create_table(
        "cleanup_leases",
        Column("cluster_uuid", Text, primary_key=True),
        Column("owner", Text, nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("expires_seconds", Double),
        Column("held_before_until_seconds", Double),
    )
    op.create_index("cleanup_leases_of_owner", "cleanup_leases", ["owner"])


def _make_seen(op: Operations) -> None:
    op.create_table(
        "cleanup_clusters",
        Column("cluster_uuid", Text, primary_key=True),
        Column("listed_timestamp_seconds", Double, nullable=False),
    )
    op.create_table(
        "cleanup_packages",
        Column("cluster_uuid", Text, primary_key=True),
        Column("version", Text, primary_key=True),
        Column("create_timestamp_seconds", Double),
        Column("first_seen_timestamp_seconds", Double, nullable=False),
    )


def _make_runs(op: Operations) -> None:
    op.create_table(
        "cleanup_runs",
        Column("id", _ID, primary_key=True),
        Column("cluster_uuid", Text, nullable=False),
        Column("cluster", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("dry_run", Boolean, nullable=False),
        Column("started_timestamp_seconds", Double, nullable=False),
        Column("ended_timestamp_seconds", Double),
        Column("success", Boolean),
        Column("failure", Text, nullable=False),
        Column("error", Text, nullable=False),
        Column("plan", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("cleanup_runs_of_policy", "cleanup_runs", ["cluster_uuid", "policy", "id"])
    op.create_index("cleanup_runs_of_cluster", "cleanup_runs", ["cluster", "id"])
    op.create_index(
        "cleanup_runs_going_on",
        "cleanup_runs",
        ["cluster_uuid"],
        sqlite_where=text("ended_timestamp_seconds IS NULL"),
        postgresql_where=text("ended_timestamp_seconds IS NULL"),
    )


def _make_deletions(op: Operations) -> None:
    op.create_table(
        "cleanup_deletions",
        Column("id", _ID, primary_key=True),
        Column("run_id", _ID, ForeignKey("cleanup_runs.id"), nullable=False),
        Column("cluster_uuid", Text, nullable=False),
        Column("cluster", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("policy_digest", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("create_timestamp_seconds", Double),
        Column("phase", Text, nullable=False),
        Column("intended_timestamp_seconds", Double, nullable=False),
        Column("intended_database_seconds", Double, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("job_uuid", Text),
        Column("earlier_job_uuids", Text, nullable=False),
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
    op.create_index("cleanup_deletions_of_version", "cleanup_deletions", ["cluster_uuid", "version", "id"])
    op.create_index("cleanup_deletions_of_day", "cleanup_deletions", ["intended_database_seconds"])
    op.create_index(
        "cleanup_deletions_one_unfinished",
        "cleanup_deletions",
        ["cluster_uuid"],
        unique=True,
        sqlite_where=text("phase != 'ended'"),
        postgresql_where=text("phase != 'ended'"),
    )


def _make_totals(op: Operations) -> None:
    op.create_table(
        "cleanup_failures",
        Column("policy", Text, primary_key=True),
        Column("digest", Text, primary_key=True),
        Column("failures", BigInteger, nullable=False),
        Column("changed_seconds", Double, nullable=False),
        Column("paused_timestamp_seconds", Double),
        Column("reason", Text, nullable=False),
    )
    op.create_table(
        "cleanup_policies",
        Column("cluster", Text, primary_key=True),
        Column("policy", Text, primary_key=True),
        Column("changed_seconds", Double, nullable=False),
        Column("candidates", Integer, nullable=False),
        Column("planned", Text),
        Column("last_started_timestamp_seconds", Double, nullable=False),
        Column("last_ended_timestamp_seconds", Double),
        Column("last_success", Boolean),
        Column("last_failure", Text, nullable=False),
        Column("last_success_timestamp_seconds", Double),
        Column("ended_success", BigInteger, nullable=False, server_default="0"),
        Column("ended_failure", BigInteger, nullable=False, server_default="0"),
        Column("ended_already_gone", BigInteger, nullable=False, server_default="0"),
        Column("ended_busy", BigInteger, nullable=False, server_default="0"),
        Column("ended_timeout", BigInteger, nullable=False, server_default="0"),
        Column("ended_denied", BigInteger, nullable=False, server_default="0"),
        Column("ended_protected", BigInteger, nullable=False, server_default="0"),
    )
    op.create_index("cleanup_policies_changed", "cleanup_policies", ["changed_seconds"])
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
