"""Which cluster a deletion was sent to: a configured name may come to mean another one."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, Text, text

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """Add where deletions are sent to, which is not known of earlier ones."""
    op.add_column("cleanup_deletions", Column("sent_to", Text))
    op.add_column("cleanup_deletions", Column("sent_to_origin", Text))
    op.create_index("cleanup_deletions_of_recipient", "cleanup_deletions", ["sent_to", "version", "id"])
    op.drop_index("cleanup_deletions_one_unended", "cleanup_deletions")
    op.create_index(
        "cleanup_deletions_one_unended",
        "cleanup_deletions",
        ["cluster", "version", "sent_to"],
        unique=True,
        sqlite_where=text("phase != 'ended'"),
        postgresql_where=text("phase != 'ended'"),
    )
    op.create_index(
        "cleanup_deletions_one_unended_of_unknown",
        "cleanup_deletions",
        ["cluster", "version"],
        unique=True,
        sqlite_where=text("phase != 'ended' AND sent_to IS NULL"),
        postgresql_where=text("phase != 'ended' AND sent_to IS NULL"),
    )
