"""The first tables. A new journal begins with the newest ones, so that there is nothing to do here."""

revision = "0001"
down_revision = None
